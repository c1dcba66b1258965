"""One attempt in this process: the engine as it is, and around it nothing but memory."""

from __future__ import annotations

import builtins
import json
import logging
import random
import sys
import time
from asyncio import CancelledError
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

from headway import clock as wall_clock
from headway import context, variables
from headway.context import Call
from headway.definitions import Definition
from headway.digests import ROOT
from headway.errors import Cancelled, Suspended
from headway.flows import Flow
from headway.futures import Future, futures_in
from headway.payloads import Payload
from headway.runtime.base_calls import Args, Kwargs
from headway.runtime.channel import Channel
from headway.runtime.child import Attempt
from headway.runtime.engine import JournalEngine
from headway.runtime.failures import ErrorDescriber
from headway.runtime.framing import pack
from headway.runtime.journal import Journal
from headway.runtime.loghook import FrameHandler
from headway.runtime.redaction import Redactor
from headway.runtime.reporter import AttemptFailure, Reporter
from headway.runtime.results import ResultReader, ResultWriter
from headway.runtime.secret_frames import announced
from headway.runtime.secret_keeper import SecretKeeper
from headway.runtime.secret_sources import Source
from headway.runtime.told import listen_to_prints
from headway.secrets import install
from headway.testing.children import result_in
from headway.testing.stepped import SteppedCancellation, SteppedLimits, SteppedPool
from headway.testing.time import Clock, SteppedPace

CrashAfter = int | str | None
"""Where the process dies: after so many facts, or when the first call of that name has ended."""
_OURS = (Exception, BaseExceptionGroup, Cancelled, CancelledError, Suspended, SystemExit)


class SimulatedCrash(BaseException):
    """The attempt's process is gone: whatever it would still tell, nobody hears."""


class Plan(NamedTuple):
    """All that an attempt depends on."""

    flow: Flow[..., Any]
    clock: Clock
    start: Mapping[str, Any]
    before: Sequence[bytes]
    """The facts of earlier attempts."""
    crash_after: CrashAfter
    seed: str
    threads: int
    secrets: Mapping[str, str] = {}
    """Values by name."""
    variables: Mapping[str, Any] = {}


class Told(NamedTuple):
    """What came of an attempt: its frames; what the flow returned or raised."""

    frames: list[bytes]
    crashed: bool
    value: Any
    error: BaseException | None


class Recording:
    """The other end of the attempt's channel (headway.runtime.channel.Wire): keeps frames until the process dies."""

    def __init__(self, crash_after: CrashAfter, on_crash: Callable[[], None]) -> None:
        self.frames: list[bytes] = []
        self.crashed = False
        self._crash_after = crash_after
        self._on_crash = on_crash
        self._facts = 0
        self._durable: list[bytes] = []
        self._redactor = Redactor()
        self._lock = RLock()

    def sendall(self, data: bytes, /) -> None:
        with self._lock:
            if self.crashed:
                raise SimulatedCrash
            raw = data[4:]
            frame = json.loads(raw)
            if frame.get("durable") == "sync":
                self._durable.append(pack({"type": "durable", "call": frame["call"]}))
            if frame["type"] == "secret":
                self._redactor.add(*announced(frame))
                return
            raw, frame = self._redactor.frame(raw, frame)
            self.frames.append(raw)
            if frame["type"] not in ("log", "attempt.ended"):
                self._facts += 1
                self._crash_if_due(frame)

    def _crash_if_due(self, frame: Mapping[str, Any]) -> None:
        after = self._crash_after
        ended = frame["name"] if frame["type"] == "call.ended" else None
        if after is not None and after in (self._facts, ended):
            self.crashed = True
            self._on_crash()
            raise SimulatedCrash

    def recv(self, _size: int, /) -> bytes:
        with self._lock:
            answers, self._durable = self._durable, []
            return b"".join(answers)

    def close(self) -> None:
        """Nothing is held."""


class InlineResults(ResultWriter):
    """All results stand in their frames, whatever their size."""

    def __init__(self) -> None:
        super().__init__(Path())

    def __call__(self, payload: Payload) -> dict[str, Any]:
        told: dict[str, Any] = {
            "codec": payload.codec,
            "size": len(payload.data),
            "digest": payload.digest,
        }
        if payload.codec == "none":
            return told
        inline = payload.data if payload.codec == "json" else b64encode(payload.data)
        return {**told, "data": inline.decode()}


class MemoryEngine(JournalEngine):
    """The engine, with threads that count those at work, and standard output that a test runner may have replaced."""

    stepped: SteppedPool

    def _submit(
        self, parent: Call, definition: Definition, args: Args, kwargs: Kwargs, after: Sequence[Any]
    ) -> Future[Any]:
        with self.stepped.after(futures_in((args, kwargs, after))):
            return super()._submit(parent, definition, args, kwargs, after)

    def hear_prints(self) -> None:
        if not self._hears_prints:
            self._hears_prints = True
            listen_to_prints(_logs_prints, sys.stdout)


class MemorySecrets(SecretKeeper):
    """The secrets that the test gives, then variables of the environment, as outside a run."""

    advice = (
        "Give it to the test's harness: `harness(secrets={...})`, or `headway.secrets[name] = ...`."
    )

    def __init__(
        self, given: Mapping[str, str], start: Mapping[str, Any], channel: Channel
    ) -> None:
        super().__init__({**start, "secrets": {}}, channel)
        self._given = given

    def _places(self) -> list[Source]:
        return [Source(lambda _: "the secrets of the harness", self._given.get), *super()._places()]


class MemoryReporter(Reporter):
    """Keeps the error itself, which frames only describe."""

    error: BaseException | None = None

    def attempt_failed(self, outcome: AttemptFailure, error: BaseException) -> None:
        self.error = error
        super().attempt_failed(outcome, error)


class MemoryAttempt(Attempt):
    """An attempt that needs nothing of its process but the interpreter."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stepped = SteppedCancellation(plan.clock, self.pass_time)
        self.wire = Recording(plan.crash_after, self._stepped.ask)
        self.told = MemoryReporter(
            Channel(self.wire, self._stepped),
            plan.clock.now_us,
            ErrorDescriber(str(Path.cwd())),
            InlineResults(),
        )
        self.told.secrets = MemorySecrets(plan.secrets, plan.start, self.told.channel)
        super().__init__(dict(plan.start), self.told, self._stepped)
        self.value: Any = None
        self._pool = SteppedPool(plan.threads)
        self._pace = SteppedPace(plan.clock, self.pass_time, self._pool.is_busy)
        self._limits = SteppedLimits(self._pace)

    def pass_time(self, seconds: float) -> None:
        """Lets time pass, from one deadline to the next; what is due raises here, if it is about the caller."""
        clock = self._plan.clock
        until = clock.monotonic() + seconds
        for deadline in sorted({*self._limits.due(until), *self._stepped.due(until)}):
            clock.move(deadline - clock.monotonic())
            self._stepped.expire()
            self._limits.expire()
            if self._stepped.requested:
                return  # the flow's own time is up, and its event loop is the one to say so
        clock.move(until - clock.monotonic())

    def _load(self) -> Flow[..., Any]:
        return self._plan.flow

    def _journal(self) -> Journal:
        return Journal.of(self._plan.before, ResultReader((), ""))

    def _make_engine(self, flow: Flow[..., Any], journal: Journal) -> JournalEngine:
        plan = self._plan
        engine = MemoryEngine(
            self._facts(flow),
            self._report,
            journal,
            self._cancellation,
            self._pool,
            random.Random(plan.seed),  # noqa: S311 - jitter that is the same each time
            ROOT,
            answers=plan.start["answers"],
            child_result=result_in(plan.start["child_results"]),
            on_code_change=flow.on_code_change,
            pace=self._pace,
        )
        engine.stepped = self._pool
        engine.limits = self._limits
        return engine

    def _open(self, engine: JournalEngine, flow: Flow[..., Any]) -> None:
        """Nothing: whatever the flow's task runner is, the bodies of its calls run here."""

    def _look_back(self) -> None:
        """Nothing: the process has other threads than the flow's."""

    def _execute(self, flow: Flow[..., Any]) -> Any:
        self.value = super()._execute(flow)
        return self.value


def execute(plan: Plan) -> Told:
    """Executes one attempt. Raises what is about the test and not about the flow: an interrupt, a skip."""
    attempt = MemoryAttempt(plan)
    with _surroundings(plan, attempt), suppress(SimulatedCrash):
        attempt.run()
    error = None if attempt.wire.crashed else attempt.told.error
    if error is not None and not isinstance(error, _OURS):
        raise error
    return Told(attempt.wire.frames, attempt.wire.crashed, attempt.value, error)


@contextmanager
def _surroundings(plan: Plan, attempt: MemoryAttempt) -> Iterator[None]:
    """What an attempt changes in its process, and puts back: time, chance, `print`, the root logger."""
    chance = random.getstate()
    with ExitStack() as stack:
        stack.callback(context.set_root, None)
        stack.callback(install, None)
        install(attempt.told.secrets)
        stack.callback(variables.install, None)
        variables.install(dict(plan.variables))
        stack.callback(random.setstate, chance)
        stack.callback(plan.clock.let, None)
        stack.enter_context(_replaced(time, "sleep", _sleep(time.sleep, attempt.pass_time)))  # noqa: TID251 - replaced
        stack.enter_context(_replaced(wall_clock, "now_us", plan.clock.now_us))
        stack.enter_context(_replaced(builtins, "print", builtins.print))
        stack.enter_context(_logged(FrameHandler(attempt.told)))
        plan.clock.let(attempt.pass_time)
        random.seed(plan.seed)
        yield


@contextmanager
def _replaced(module: object, name: str, value: object) -> Iterator[None]:
    """Whatever stands there in between, afterwards it is what it was."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextmanager
def _logged(handler: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    if level in (logging.NOTSET, logging.WARNING):
        root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _sleep(
    real: Callable[[float], None], pass_time: Callable[[float], None]
) -> Callable[[float], None]:
    def sleep(seconds: float, /) -> None:
        # Threads that are no part of the run (a test runner's own) sleep as ever.
        if context._current.get() is not None:  # noqa: SLF001 - current_call() stands for those threads too
            pass_time(seconds)
        else:
            real(seconds)

    return sleep


def _logs_prints() -> bool:
    call = context.current_call()
    return call is not None and call.log_prints
