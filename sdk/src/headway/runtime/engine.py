"""Executes the calls of an attempt: identity, skip, retries, nesting, and the facts about each.

A call goes through: identity (key, in the caller, so that keys do not depend on the order in which threads run), the
journal (skip), its arguments' futures, tries, and the calls that it submitted itself. Sync and async calls share all
decisions; they differ in how they wait.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from headway import pool
from headway.context import Call, current_call, enter, leave
from headway.definitions import Definition
from headway.digests import ROOT, call_key, explicit_digest, stable_digest
from headway.futures import Future, resolve, running_loop
from headway.runners import Session
from headway.runtime.async_calls import inside_gate
from headway.runtime.base_calls import Args, Kwargs
from headway.runtime.binding import bind
from headway.runtime.changed_code import RERUN, code_of, question
from headway.runtime.channel import Channel, Wire
from headway.runtime.failures import ErrorDescriber
from headway.runtime.interrupts import Interrupts
from headway.runtime.journal import Kept
from headway.runtime.limits import Limits
from headway.runtime.loops import LoopThread
from headway.runtime.output_calls import OutputCalls
from headway.runtime.told import listen_to_prints
from headway.runtime.waiting import digest_of
from headway.waits import Over, WaitSpec

T = TypeVar("T")
_RANDOM = "random:"


class JournalEngine(OutputCalls):
    """The engine of one attempt (headway.context.Engine)."""

    def call(self, parent: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Any:
        if parent.deadline is None:
            return self._execute(parent, definition, args, kwargs)
        return self._shielded(
            parent.deadline, lambda: self._execute(parent, definition, args, kwargs)
        )

    def submit(
        self,
        parent: Call,
        definition: Definition,
        args: Args,
        kwargs: Kwargs,
        after: Sequence[Any] = (),
    ) -> Future[Any]:
        if parent.deadline is None:
            return self._submit(parent, definition, args, kwargs, after)
        return self._shielded(
            parent.deadline, lambda: self._submit(parent, definition, args, kwargs, after)
        )

    def _execute(self, parent: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Any:
        call = self._identify(parent, definition, args, kwargs)
        kept = self._skip_in(parent, call, definition)
        if definition.is_async:
            return (
                _given(kept.value) if kept else self._perform_async(call, definition, args, kwargs)
            )
        return kept.value if kept else self._perform(call, definition, args, kwargs)

    def _submit(
        self, parent: Call, definition: Definition, args: Args, kwargs: Kwargs, after: Sequence[Any]
    ) -> Future[Any]:
        call = self._identify(parent, definition, args, kwargs)
        kept = self._skip_in(parent, call, definition)
        future: Future[Any] = Future(call.ref)
        if kept:
            future.complete(kept.value)
            return future
        loop = running_loop()
        if definition.is_async and loop is not None and parent.on_loop:
            performed = self._bounded(self._perform_async(call, definition, args, kwargs, after))
            future.follow(loop.create_task(performed))
            parent.adopt(future)
            return future
        if definition.is_async and self._loop is not None:
            inputs = (call, definition, args, kwargs, after)
            parent.adopt(future)
            self._loop.submit(future, lambda: self._on_shared_loop(*inputs))
            return future
        pool.bind_loops(future, (args, kwargs, after))
        call.remote = self._session is not None and not definition.is_async
        future.assign(_Submitted(self, future, call, definition, args, kwargs, after))
        parent.adopt(future)
        self._pool.submit(future)
        return future

    def run_root(self, root: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Any:
        """The flow itself, from its first line until all that it submitted has ended."""
        token = enter(root)
        try:
            if definition.is_async:
                return self._pace.run(self._root_on_loop(root, definition, args, kwargs))
            return self._body(root, definition, args, kwargs)
        finally:
            leave(token)

    # Task runners

    def use(self, session: Session | None) -> None:
        """From now on submitted sync calls have their bodies executed there; None: here."""
        self._session = session

    def use_loop(self, max_workers: int) -> None:
        """From now on so many submitted async calls are under way at a time, and sync code's share a loop."""
        self._loop = LoopThread(max_workers)
        self._gate = asyncio.Semaphore(max_workers)

    async def _bounded(self, work: Coroutine[Any, Any, T]) -> T:
        """On the flow's own loop. What is inside already holds its place, and must not wait for another."""
        if self._gate is None or inside_gate.get():
            return await work
        try:
            await self._gate.acquire()
        except BaseException:
            work.close()
            raise
        try:
            inside_gate.set(True)
            return await work
        finally:
            self._gate.release()

    def close(self) -> None:
        """The run is over."""
        self.outputs.flush()
        if self._session is not None:
            self._session.close()

    def release(self) -> None:
        """The process goes on to another run: threads that only wait for work end."""
        self._pool.close()
        self.limits.close()
        if self._loop is not None:
            self._loop.close()

    @property
    def channel(self) -> Channel:
        return self._report.channel

    @property
    def describe(self) -> ErrorDescriber:
        return self._report.describe

    def become_worker(self, wire: Wire) -> None:
        """In a fork of the flow's process: what is reported goes over this wire, and threads are its own."""
        self.channel.move(wire)
        self._session = None
        self.cache.in_worker = True
        self._handles.clear()
        self.outputs.forget()
        self._random.seed()
        self._interrupts = Interrupts()
        self.limits = Limits(self._pace)
        self.limits.install()
        self._cancellation.install()

    def execute_body(self, call: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Any:
        """In a worker: one try of a call, whose facts the flow's process tells."""
        try:
            return self._body(call, definition, args, kwargs)
        finally:
            self.outputs.flush()

    # Identity

    def _identify(self, parent: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Call:
        self._cancellation.check()
        digest = self._digest(definition, args, kwargs)
        ordinal = 0 if digest.startswith(_RANDOM) else parent.next_ordinal(definition.name, digest)
        above = self._origin if parent.key == ROOT else parent.key
        key = call_key(above, definition.name, digest, ordinal)
        call = Call(
            self, key, parent.key, definition.kind, definition.name, on_loop=definition.is_async
        )
        call.deadline = parent.deadline
        call.held = parent.held
        call.log_prints = (
            parent.log_prints if definition.log_prints is None else definition.log_prints
        )
        if call.log_prints:
            self.hear_prints()
        return call

    def hear_prints(self) -> None:
        """From now on `print` logs in calls that ask for it."""
        if not self._hears_prints:
            self._hears_prints = True
            listen_to_prints(_logs_prints)

    def _digest(self, definition: Definition, args: Args, kwargs: Kwargs) -> str:
        arguments = bind(definition, args, kwargs)
        if definition.key is not None:
            return explicit_digest(str(definition.key(resolve(arguments))))
        # Without a stable digest the call gets a key of its own, which no other attempt can have.
        return (
            stable_digest(arguments, self._opaque.key_of)
            or f"{_RANDOM}{self._random.getrandbits(128):032x}"
        )

    def _skip(self, call: Call, definition: Definition | None = None) -> Kept | None:
        kept = self._journal.find(call.key)
        if kept and definition is not None and kept.code and kept.code != code_of(definition):
            kept = self._made_by_other_code(definition, kept)
        if kept:
            call.ref = kept.ref
            if not kept.failed:  # else whoever waited for it says how that went
                self._report.skipped(call, kept)
            if kept.result["codec"] == "pickle":
                self._opaque.remember(kept.value, call.ref)
        elif self._journal.had(call.key):
            # Whoever took the result of then did not take this one's.
            call.ref = call_key(call.key, self.facts["run"], str(self.facts["fence"]), 0)
        return kept

    def _skip_in(self, parent: Call, call: Call, definition: Definition) -> Kept | None:
        """As `_skip`, for a call that may be a step of a transaction."""
        if parent.scope is not None:
            parent.scope.add(call, definition)
        kept = self._skip(call, definition)
        if kept and call.step is not None:
            call.step.complete(kept.value)
        elif not kept and parent.scope is not None:
            parent.scope.check()
        return kept

    def _made_by_other_code(self, definition: Definition, kept: Kept) -> Kept | None:
        """The result, or None: it is to be made again. Raises Suspended until a person has said which."""
        policy = self._on_code_change
        if policy == "ask":
            asked = stable_digest({"from": kept.code, "to": code_of(definition)}) or ""
            key = call_key(self._origin, f"code changed {definition.name}", asked, 0)
            wait = Call(self, key, ROOT, "wait", f"code changed: {definition.name}", on_loop=False)
            request = question(definition.name)
            spec = WaitSpec("input", wait.name, {}, None, request=request)
            answer = self._waits.reach_once(wait, spec, self._journal.find(key))
            policy = "rerun" if answer.value == RERUN else "trust"
        again = policy == "rerun"
        self._code_changes.tell(
            definition.name, "they are made again" if again else "they are used all the same"
        )
        return None if again else kept

    # Waits

    def wait(self, parent: Call, spec: WaitSpec) -> Over:
        """The end of a wait of the flow; raises Suspended where it lies beyond this attempt."""
        return self.reach_wait(parent, self.identify_wait(parent, spec), spec)

    def identify_wait(self, parent: Call, spec: WaitSpec) -> Call:
        self._cancellation.check()
        self._report.refuse_secrets(
            "a wait's name or key, or a parameter of the run that is asked for,",
            *map(str, spec.identity.values()),
        )
        digest = digest_of(spec)
        ordinal = parent.next_ordinal(spec.kind, digest)
        above = self._origin if parent.key == ROOT else parent.key
        key = call_key(above, f"{spec.kind} {spec.name}", digest, ordinal)
        return Call(self, key, parent.key, "wait", spec.name, on_loop=parent.on_loop)

    def reach_wait(self, parent: Call, call: Call, spec: WaitSpec) -> Over:
        kept = self._skip(call)
        if kept is None and parent.scope is not None:
            parent.scope.check()
        return self._waits.reach(call, spec, kept, lambda left: self._sit_out(parent, left))

    def child_result(self, call: Call, run: str, fence: int) -> Any:
        return self._child_result(run, fence, lambda seconds: self._sit_out(call, seconds))

    def _sit_out(self, parent: Call, seconds: float) -> None:
        self._cancellation.wait(self._until(parent.deadline, round(seconds * 1e6)))
        self._check_time(parent)

    @property
    def waits(self) -> list[dict[str, Any]]:
        """What the attempt ends for, as its last fact tells it."""
        return self._waits.pending

    # Sync

    def in_thread(
        self, call: Call, definition: Definition, args: Args, kwargs: Kwargs, after: Sequence[Any]
    ) -> Any:
        """A submitted call, in a thread of the pool."""
        self._cancellation.check()
        if definition.is_async:
            return self._pace.run(self._on_own_loop(call, definition, args, kwargs, after))
        if call.deadline is None or call.remote:
            return self._perform(call, definition, args, kwargs, after)
        return self.limits.run(
            call.deadline, lambda: self._perform(call, definition, args, kwargs, after)
        )


async def _given(value: Any) -> Any:
    return value


class _Submitted:
    """The work of a submitted call's future, in the context of where it was submitted."""

    __slots__ = ("_context", "_future", "_inputs")

    def __init__(self, engine: JournalEngine, future: Future[Any], *inputs: Any) -> None:
        self._context = contextvars.copy_context()
        self._future = future
        self._inputs = (engine, *inputs)

    def __call__(self) -> None:
        engine, *inputs = self._inputs
        try:
            value = self._context.run(engine.in_thread, *inputs)
        except BaseException as error:  # noqa: BLE001 - it is not lost: the future carries it to whoever waits
            self._future.fail(error)
        else:
            self._future.complete(value)


def _logs_prints() -> bool:
    call = current_call()
    return call is not None and call.log_prints
