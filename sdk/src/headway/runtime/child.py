"""The flow process from its first line to its last: prepares itself, executes the flow, tells how it ended."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Any, TypeVar

from headway import clock, variables
from headway.context import Call, leave_run, set_root
from headway.digests import ROOT
from headway.entrypoints import load_flow, use_root
from headway.errors import (
    Cancelled,
    EntrypointError,
    ParameterError,
    ResultTooLarge,
    Suspended,
)
from headway.flows import Flow
from headway.futures import resolve
from headway.hooks import State
from headway.parameters import apply, validate
from headway.payloads import MAX
from headway.pool import Pool
from headway.runners import AsyncRunner
from headway.runtime import forks
from headway.runtime.asked_runs import AskedRuns
from headway.runtime.binding import bind
from headway.runtime.cache import Cache
from headway.runtime.cache_scope import whose_of
from headway.runtime.cancellation import Cancellation
from headway.runtime.channel import Channel
from headway.runtime.child_results import ChildResult, beside
from headway.runtime.engine import JournalEngine
from headway.runtime.failures import ErrorDescriber
from headway.runtime.inbox import Inbox
from headway.runtime.journal import Journal
from headway.runtime.limits import timed_out
from headway.runtime.loghook import FrameHandler
from headway.runtime.pace import REAL, Pace
from headway.runtime.redaction import Redactor
from headway.runtime.reporter import AttemptFailure, Reporter
from headway.runtime.results import ResultWriter
from headway.runtime.run_variables import RunVariables, not_settable
from headway.runtime.secret_keeper import SecretKeeper
from headway.runtime.shared_cache import SharedCache
from headway.runtime.streams import flush_output
from headway.runtime.told import run_hooks, run_hooks_async
from headway.runtime.warnings import log_chain, warn_of_other_code, warn_of_threads
from headway.secrets import install

A = TypeVar("A", bound="Attempt")

ENDED = 0
"""Exit code whenever `attempt.ended` was sent, whatever it says."""

RECURSION_LIMIT = 6_000
"""A task that calls a task takes some nine frames of the interpreter; a stack of 8 MB holds several times this many."""


def run_attempt(start: dict[str, Any], sock: socket.socket) -> int:
    """Executes one attempt in this process, which is used up by it, or one after another. Gives the exit code.

    `start` is start.json with `run_dir` added; `sock` leads to the supervisor.
    """
    _prepare(start)
    ears = Ears()
    sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))
    if start.get("kept"):
        from headway.runtime.residence import Residence  # noqa: PLC0415 - it stands on this module

        return Residence(sock, ears).stay(start)
    execute(start, sock, ears.follow, Redactor(), Attempt)
    return ENDED


def execute(
    start: dict[str, Any],
    sock: socket.socket,
    listen: Callable[[Reporter], None],
    redactor: Redactor,
    make: Callable[[dict[str, Any], Reporter, Cancellation], A],
) -> A:
    """One attempt, from loading its flow to the last word about it. `listen` hears what is logged; `redactor` knows the process's secrets."""
    cancellation = Cancellation()
    channel = Channel(sock, cancellation)
    describe = ErrorDescriber(start["root"])
    reporter = Reporter(
        channel,
        clock.now_us,
        describe,
        ResultWriter(start["run_dir"], start.get("result_max", MAX)),
    )
    secrets = reporter.secrets = SecretKeeper(start, channel, redactor)
    install(secrets)
    variables.install(RunVariables(start["run_dir"]))
    listen(reporter)
    attempt = make(start, reporter, cancellation)
    try:
        if "hooks" in start:
            attempt.tell_its_end(**start["hooks"])
        else:
            attempt.run()
    finally:
        set_root(None)
        flush_output()
    return attempt


def _prepare(start: dict[str, Any]) -> None:
    # What already stands as it should stays: setting all of it anew takes longer than the rest of this together.
    os.environ.update(start["env"].items() - dict(os.environ).items())  # noqa: TID251 - the flow's environment is an input of the attempt
    time.tzset()  # a fork has the time zone of its template until it looks again
    os.chdir(start["root"])
    sys.path[:0] = [path for path in start["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    use_root(start["root"])


class Ears:
    """Hears what this process logs, for the attempt that it executes."""

    def __init__(self) -> None:
        self._root_logger = logging.getLogger()
        self._handler = FrameHandler()
        self._root_logger.addHandler(self._handler)
        os.register_at_fork(after_in_child=self._forked)
        if self._root_logger.level in (logging.NOTSET, logging.WARNING):
            self._root_logger.setLevel(logging.INFO)

    def follow(self, reporter: Reporter) -> None:
        """From now on it is this attempt's."""
        self._handler.report = reporter

    def _forked(self) -> None:
        """A process that user code forks (multiprocessing does) is no part of the attempt: tasks are plain calls in
        it, as in a spawned one, and what it logs goes to its standard error.
        """
        if forks.is_own():
            return  # a worker of a ProcessRunner is a part of it
        if (report := self._handler.report) is not None:
            report.channel.disown()
            if report.secrets is not None:
                report.secrets.cut_off()
        leave_run()
        self._root_logger.removeHandler(self._handler)
        self._root_logger.addHandler(logging.StreamHandler())


class Attempt:
    """One attempt: from the entry point to the outcome, which `outcome` names once it is reported."""

    def __init__(
        self, start: dict[str, Any], reporter: Reporter, cancellation: Cancellation
    ) -> None:
        self._start = start
        self._pace: Pace = REAL
        self._report = reporter
        self._begun_us = reporter.clock()
        self._cancellation = cancellation
        self._engine: JournalEngine | None = None
        self._root: Call | None = None
        self._flow: Flow[..., Any] | None = None
        self.outcome = ""

    def run(self) -> None:
        """Executes and reports. Only what is no outcome of the flow (a bug here, a lost disk) leaves it as an error."""
        try:
            self._cancellation.install()
            flow = self._load()
            value = self._execute(flow)
            self._cancellation.retire()
        except BaseException as error:  # noqa: BLE001 - reported whole; the process ends after it
            self._cancellation.retire()
            self._ended_badly(error)
        else:
            self._complete(value, flow)

    def _complete(self, value: Any, flow: Flow[..., Any]) -> None:
        try:
            self._report.attempt_completed(value, flow.name)
        except ResultTooLarge as error:
            self._ended_badly(error)
        else:
            self.outcome = "completed"
            self._tell("completed", value=value)

    def tell_its_end(self, state: State, message: str) -> None:
        """In a process of its own, when the flow's has died: runs the hooks that it could not run any more."""
        flow = load_flow(self._start["entrypoint"])
        engine = self._make_engine(flow, Journal.load((), ""))
        self._root, self._flow = self._make_root(engine, flow), flow
        self._tell(state, message=message)

    def _load(self) -> Flow[..., Any]:
        return load_flow(self._start["entrypoint"])

    def _journal(self) -> Journal:
        start = self._start
        return Journal.load(start.get("journal", ()), start.get("store", ""), start.get("cuts", ()))

    def _make_engine(self, flow: Flow[..., Any], journal: Journal) -> JournalEngine:
        return JournalEngine(
            self._facts(flow),
            self._report,
            journal,
            self._cancellation,
            Pool(flow.task_runner.max_workers, daemon=True),
            SystemRandom(),  # jitter and unique keys: too few for a generator's state, which has to be made first
            self._start.get("salt") or ROOT,
            answers=self._start.get("answers"),
            child_result=self._child_result(),
            asked_runs=self._asked_runs(journal),
            inbox=self._inbox(),
            on_code_change=flow.on_code_change,
            cache=self._cache(),
        )

    def _asked_runs(self, journal: Journal) -> AskedRuns:
        start = self._start
        return AskedRuns(
            start["run"],
            journal,
            start.get("asked_runs", ()),
            cut=start.get("asked_runs_cut") is True,
            unheard=start.get("unheard") is True,
        )

    @property
    def _run_dir(self) -> str:
        return str(self._start["run_dir"])

    def _inbox(self) -> Inbox | None:
        return Inbox(self._run_dir) if "pauses" in self._start.get("knows", ()) else None

    def _child_result(self) -> ChildResult | None:
        start = self._start
        if "runs" not in start.get("knows", ()):
            return None
        has_store = "results" in start["knows"]
        return beside(self._run_dir, start.get("store", ""), has_store=has_store)

    def _cache(self) -> Cache:
        start = self._start
        run_dir, clock = self._run_dir, self._report.clock
        whose = whose_of(start, self._begun_us)
        shared = self._shared_cache(run_dir)
        return Cache(start.get("store", ""), run_dir, whose, start["run"], clock, shared)

    def _shared_cache(self, run_dir: str) -> SharedCache | None:
        start = self._start
        path = start.get("shared_cache", "")
        if not path:
            return None
        return SharedCache(path, Path(run_dir), start["run"], start["fence"])

    def _make_root(self, engine: JournalEngine, flow: Flow[..., Any]) -> Call:
        return Call(engine, ROOT, ROOT, "flow", flow.name, on_loop=flow.is_async)

    def _execute(self, flow: Flow[..., Any]) -> Any:
        start = self._start
        values = validate(flow, start["parameters"])
        args, kwargs = apply(flow, values)
        engine = self._engine = self._make_engine(flow, self._journal())
        engine.cache.parameters = bind(flow, args, kwargs)
        engine.outputs.unheard = start.get("unheard") is True
        engine.outputs.not_settable = not_settable(start)
        root = self._make_root(engine, flow)
        root.log_prints = bool(flow.log_prints)
        if root.log_prints:
            engine.hear_prints()
        set_root(root)
        self._open(engine, flow)
        if flow.timeout is not None:
            self._cancellation.expect_timeout(flow.timeout)
        self._report.attempt_started(
            os.getpid(), platform.python_version(), flow.timeout, flow.hooks
        )
        self._root, self._flow = root, flow
        self._warn_of_other_code()
        self._tell("running")
        try:
            value = resolve(engine.run_root(root, flow, args, kwargs))
            self._look_back()
            return value
        except SystemExit as ended:
            if ended.code in (None, 0):
                return None  # a script's way to say that all is well
            raise
        finally:
            engine.close()

    def _open(self, engine: JournalEngine, flow: Flow[..., Any]) -> None:
        """What the engine needs of this process."""
        engine.limits.install()
        engine.use(flow.task_runner.open())
        if isinstance(flow.task_runner, AsyncRunner):
            engine.use_loop(flow.task_runner.max_workers)

    def _warn_of_other_code(self) -> None:
        warn_of_other_code(self._start)

    def _look_back(self) -> None:
        """The flow has returned."""
        warn_of_threads()

    def _facts(self, flow: Flow[..., Any]) -> dict[str, Any]:
        start = self._start
        return {
            "run": start["run"],
            "fence": start["fence"],
            "run_name": start.get("run_name", ""),
            "flow": flow.name,
            "deployment": start.get("deployment", ""),
            "parameters": start["parameters"],
            "environment": start.get("environment", ""),
            # An older agent tells none of them.
            "tags": start.get("tags", []),
            "due_at_us": start.get("due_at_us", 0),
            "run_url": start.get("run_url", ""),
            "flow_version": start.get("flow_version", flow.version),
            "started_by": start.get("started_by", ""),
        }

    def _ended_badly(self, error: BaseException) -> None:
        if isinstance(error, Suspended) and self._engine and not self._cancellation.requested:
            self.outcome = "suspended"
            self._report.attempt_suspended(self._engine.waits)
        elif isinstance(error, EntrypointError | ParameterError):
            self._fail("refused", error)
        elif self._cancellation.timed_out and self._flow is not None:
            late = timed_out(self._flow.name, self._flow.timeout or 0.0)
            self._fail("failed", late.with_traceback(error.__traceback__))
            self._tell("failed", error=late)
        elif self._cancellation.requested or isinstance(error, Cancelled | KeyboardInterrupt):
            asked = isinstance(
                error, asyncio.CancelledError
            )  # says less than the error that it stands for
            shown = Cancelled().with_traceback(error.__traceback__) if asked else error
            self._fail("cancelled", shown)
            self._tell("cancelled", error=shown)
        else:
            log_chain(error)
            self._fail("failed", error)
            self._tell("failed", error=error)

    def _fail(self, outcome: AttemptFailure, error: BaseException) -> None:
        self.outcome = outcome
        self._report.attempt_failed(outcome, error)

    def release(self) -> None:
        """Ends what the attempt still has in this process, as far as it ends by itself."""
        if self._engine is not None:
            self._engine.release()

    def _tell(
        self,
        state: State,
        *,
        value: Any = None,
        error: BaseException | None = None,
        message: str = "",
    ) -> None:
        """The flow's hooks, once the change is recorded. They have what they began with: tasks are plain calls in them."""
        root, flow = self._root, self._flow
        if root is None or flow is None or state not in flow.hooks:
            return
        if state != "running":
            set_root(None)
        if flow.is_async:
            self._pace.run(run_hooks_async(root, flow, state, value, error, message))
        else:
            run_hooks(root, flow, state, value, error, message)
