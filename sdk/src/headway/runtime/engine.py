"""Executes the calls of an attempt: identity, skip, retries, nesting, and the facts about each.

A call goes through: identity (key, in the caller, so that keys do not depend on the order in which threads run), the
journal (skip), its arguments' futures, tries, and the calls that it submitted itself. Sync and async calls share all
decisions; they differ in how they wait.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeVar, cast

from headway import pool
from headway.context import Call, current_call, enter, leave
from headway.digests import ROOT, call_key, explicit_digest, stable_digest
from headway.errors import Cancelled, Suspended
from headway.futures import Future, resolve, running_loop, settled_after, worker
from headway.pool import Pool
from headway.runners import Handle, Session, Work
from headway.runtime.binding import bind
from headway.runtime.cache import Cache, Hit, Lookup
from headway.runtime.cancellation import Cancellation
from headway.runtime.changed_code import RERUN, CodeChanges, code_of, question
from headway.runtime.channel import Channel, Wire
from headway.runtime.failures import ErrorDescriber
from headway.runtime.interrupts import Interrupts
from headway.runtime.journal import Journal, Kept
from headway.runtime.limits import Limits, OutOfTime, timed_out
from headway.runtime.loops import LoopThread
from headway.runtime.opaque import OpaqueResults
from headway.runtime.pace import REAL, Pace
from headway.runtime.reporter import CallFailure, Reporter
from headway.runtime.told import listen_to_prints, name_call, run_hooks, run_hooks_async
from headway.runtime.waiting import Answers, Waits, digest_of
from headway.targets import Target
from headway.waits import Over, WaitSpec

T = TypeVar("T")
Args = tuple[Any, ...]
Kwargs = dict[str, Any]

_log = logging.getLogger("headway")
_RANDOM = "random:"
_inside_gate: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "headway_inside_gate", default=False
)


class JournalEngine:
    """The engine of one attempt (headway.context.Engine).

    `origin` stands for the flow in the keys of its calls. The agent gives a secret one a run, so that nobody can find a
    call's arguments by trying which give its key.
    """

    def __init__(
        self,
        facts: Mapping[str, Any],
        reporter: Reporter,
        journal: Journal,
        cancellation: Cancellation,
        pool: Pool,
        random: Random,
        origin: str = ROOT,
        *,
        answers: Answers | None = None,
        on_code_change: str = "trust",
        cache: Cache | None = None,
        pace: Pace = REAL,
    ) -> None:
        self.facts = facts
        self._pace = pace
        self._report = reporter
        self._journal = journal
        self._cancellation = cancellation
        self._pool = pool
        self._random = random
        self._origin = origin
        self._session: Session | None = None
        self._handles: set[Handle] = set()
        self._loop: LoopThread | None = None
        self._gate: asyncio.Semaphore | None = None
        self._interrupts = Interrupts()
        self._opaque = OpaqueResults()
        self._hears_prints = False
        self.limits = Limits(pace)
        self._waits = Waits(journal, answers, reporter)
        self._on_code_change = on_code_change
        self._code_changes = CodeChanges()
        self.cache = cache or Cache("", Path(), "", "", reporter.clock)

    def call(self, parent: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        if parent.deadline is None:
            return self._execute(parent, target, args, kwargs)
        return self._shielded(parent.deadline, lambda: self._execute(parent, target, args, kwargs))

    def submit(
        self,
        parent: Call,
        target: Target,
        args: Args,
        kwargs: Kwargs,
        after: Sequence[Any] = (),
    ) -> Future[Any]:
        if parent.deadline is None:
            return self._submit(parent, target, args, kwargs, after)
        return self._shielded(
            parent.deadline, lambda: self._submit(parent, target, args, kwargs, after)
        )

    def _shielded(self, deadline: float, step: Callable[[], T]) -> T:
        """A step of the engine for user code that has a deadline: no strike falls into it, but may into user code below."""
        zone = self.limits.zone()
        if zone is None:  # on an event loop, which keeps the caller's time in its own way
            return self.limits.run(deadline, step)
        with zone.engine():
            return step()

    def _execute(self, parent: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        call = self._identify(parent, target, args, kwargs)
        kept = self._skip(call, target)
        if target.is_async:
            return _given(kept.value) if kept else self._perform_async(call, target, args, kwargs)
        return kept.value if kept else self._perform(call, target, args, kwargs)

    def _submit(
        self, parent: Call, target: Target, args: Args, kwargs: Kwargs, after: Sequence[Any]
    ) -> Future[Any]:
        call = self._identify(parent, target, args, kwargs)
        kept = self._skip(call, target)
        future: Future[Any] = Future(call.ref)
        if kept:
            future.complete(kept.value)
            return future
        loop = running_loop()
        if target.is_async and loop is not None and parent.on_loop:
            performed = self._bounded(self._perform_async(call, target, args, kwargs, after))
            future.follow(loop.create_task(performed))
            parent.adopt(future)
            return future
        if target.is_async and self._loop is not None:
            inputs = (call, target, args, kwargs, after)
            parent.adopt(future)
            self._loop.submit(future, lambda: self._on_shared_loop(*inputs))
            return future
        pool.bind_loops(future, (args, kwargs, after))
        call.remote = self._session is not None and not target.is_async
        future.assign(_Submitted(self, future, call, target, args, kwargs, after))
        parent.adopt(future)
        self._pool.submit(future)
        return future

    def run_root(self, root: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        """The flow itself, from its first line until all that it submitted has ended."""
        token = enter(root)
        try:
            if target.is_async:
                return self._pace.run(self._root_on_loop(root, target, args, kwargs))
            return self._body(root, target, args, kwargs)
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
        if self._gate is None or _inside_gate.get():
            return await work
        try:
            await self._gate.acquire()
        except BaseException:
            work.close()
            raise
        try:
            _inside_gate.set(True)
            return await work
        finally:
            self._gate.release()

    def close(self) -> None:
        """The run is over."""
        if self._session is not None:
            self._session.close()

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
        self._random.seed()
        self._interrupts = Interrupts()
        self.limits = Limits(self._pace)
        self.limits.install()
        self._cancellation.install()

    def execute_body(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        """In a worker: one try of a call, whose facts the flow's process tells."""
        return self._body(call, target, args, kwargs)

    # Identity

    def _identify(self, parent: Call, target: Target, args: Args, kwargs: Kwargs) -> Call:
        self._cancellation.check()
        digest = self._digest(target, args, kwargs)
        ordinal = 0 if digest.startswith(_RANDOM) else parent.next_ordinal(target.name, digest)
        above = self._origin if parent.key == ROOT else parent.key
        key = call_key(above, target.name, digest, ordinal)
        call = Call(self, key, parent.key, target.kind, target.name, on_loop=target.is_async)
        call.deadline = parent.deadline
        call.held = parent.held
        call.log_prints = parent.log_prints if target.log_prints is None else target.log_prints
        if call.log_prints:
            self.hear_prints()
        return call

    def hear_prints(self) -> None:
        """From now on `print` logs in calls that ask for it."""
        if not self._hears_prints:
            self._hears_prints = True
            listen_to_prints(_logs_prints)

    def _digest(self, target: Target, args: Args, kwargs: Kwargs) -> str:
        arguments = bind(target, args, kwargs)
        if target.key is not None:
            return explicit_digest(str(target.key(resolve(arguments))))
        # Without a stable digest the call gets a key of its own, which no other attempt can have.
        return (
            stable_digest(arguments, self._opaque.key_of)
            or f"{_RANDOM}{self._random.getrandbits(128):032x}"
        )

    def _skip(self, call: Call, target: Target | None = None) -> Kept | None:
        kept = self._journal.find(call.key)
        if kept and target is not None and kept.code and kept.code != code_of(target):
            kept = self._made_by_other_code(target, kept)
        if kept:
            call.ref = kept.ref
            self._report.skipped(call, kept)
            if kept.result["codec"] == "pickle":
                self._opaque.remember(kept.value, call.ref)
        elif self._journal.had(call.key):
            # Whoever took the result of then did not take this one's.
            call.ref = call_key(call.key, self.facts["run"], str(self.facts["fence"]), 0)
        return kept

    def _made_by_other_code(self, target: Target, kept: Kept) -> Kept | None:
        """The result, or None: it is to be made again. Raises Suspended until a person has said which."""
        policy = self._on_code_change
        if policy == "ask":
            asked = stable_digest({"from": kept.code, "to": code_of(target)}) or ""
            key = call_key(self._origin, f"code changed {target.name}", asked, 0)
            wait = Call(self, key, ROOT, "wait", f"code changed: {target.name}", on_loop=False)
            request = question(target.name)
            spec = WaitSpec("input", wait.name, {}, None, request=request)
            answer = self._waits.reach_once(wait, spec, self._journal.find(key))
            policy = "rerun" if answer.value == RERUN else "trust"
        again = policy == "rerun"
        self._code_changes.tell(
            target.name, "they are made again" if again else "they are used all the same"
        )
        return None if again else kept

    # Waits

    def wait(self, parent: Call, spec: WaitSpec) -> Over:
        """The end of a wait of the flow; raises Suspended where it lies beyond this attempt."""
        self._cancellation.check()
        digest = digest_of(spec)
        ordinal = parent.next_ordinal(spec.kind, digest)
        above = self._origin if parent.key == ROOT else parent.key
        key = call_key(above, f"{spec.kind} {spec.name}", digest, ordinal)
        call = Call(self, key, parent.key, "wait", spec.name, on_loop=parent.on_loop)
        return self._waits.reach(
            call, spec, self._skip(call), lambda left: self._sit_out(parent, left)
        )

    def _sit_out(self, parent: Call, seconds: float) -> None:
        self._cancellation.wait(self._until(parent.deadline, round(seconds * 1e6)))
        self._check_time(parent)

    @property
    def waits(self) -> list[dict[str, Any]]:
        """What the attempt ends for, as its last fact tells it."""
        return self._waits.pending

    # Sync

    def in_thread(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs, after: Sequence[Any]
    ) -> Any:
        """A submitted call, in a thread of the pool."""
        self._cancellation.check()
        if target.is_async:
            return self._pace.run(self._on_own_loop(call, target, args, kwargs, after))
        if call.deadline is None or call.remote:
            return self._perform(call, target, args, kwargs, after)
        return self.limits.run(
            call.deadline, lambda: self._perform(call, target, args, kwargs, after)
        )

    def _perform(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs, after: Sequence[Any] = ()
    ) -> Any:
        try:
            settled_after(after)
            args, kwargs = resolve(args), resolve(kwargs)
            lookup = None if target.cache is None else self._look_up(call, target, args, kwargs)
        except BaseException as error:
            self._never_began(call, error)
            raise
        if lookup is None:
            return self._run(call, target, args, kwargs)
        try:
            if lookup.hit is not None:
                return self._from_cache(call, lookup, lookup.hit)
            return self._run(call, target, args, kwargs, lookup)
        finally:
            lookup.close()

    def _look_up(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Lookup:
        lookup = self._lookup(call, target, args, kwargs)
        try:
            while (pause := lookup.step()) is not None:
                self._cancellation.wait(self._until(call.deadline, round(pause * 1e6)))
                self._check_time(call)
        except BaseException:
            lookup.close()
            raise
        return lookup

    def _run(
        self,
        call: Call,
        target: Target,
        args: Args,
        kwargs: Kwargs,
        lookup: Lookup | None = None,
    ) -> Any:
        started_us = self._begin(call, target, args, kwargs)
        token = enter(call)
        try:
            value = self._tries(call, target, args, kwargs, started_us)
            self._completed(call, target, started_us, value, lookup)
            if target.hooks:
                run_hooks(call, target, "completed", value)
            return value
        finally:
            leave(token)

    def _tries(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs, started_us: int
    ) -> Any:
        while True:
            try:
                self._began(call, started_us)
                if target.hooks:
                    run_hooks(call, target, "running")
                if target.timeout is None:
                    return self._body(call, target, args, kwargs)
                return self._limited(call, target, target.timeout, args, kwargs)
            except BaseException as error:
                verdict = self._judge(call, target, started_us, error)
                if isinstance(verdict, str):
                    if target.hooks and verdict != "suspended":
                        run_hooks(call, target, verdict, error=error)
                    raise
            self._cancellable_wait(call, started_us, verdict)
            call.try_number += 1

    def _limited(
        self, call: Call, target: Target, timeout: float, args: Args, kwargs: Kwargs
    ) -> Any:
        """One try under a time limit."""
        around = call.deadline
        own = self._pace.monotonic() + timeout
        call.deadline = own if around is None else min(own, around)
        try:
            if call.remote:
                return self._body(call, target, args, kwargs)
            return self.limits.run(call.deadline, lambda: self._body(call, target, args, kwargs))
        except OutOfTime:
            if self._is_others(own, around):
                raise
            raise timed_out(target.name, timeout) from None
        finally:
            call.deadline = around

    def _body(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        """One try: the function, then the calls it submitted and left behind."""
        try:
            value = self._user_code(call, target, args, kwargs)
            _wait_for(call)
        except BaseException as error:
            self._give_up(call, error)
            _wait_for(call)
            raise
        _raise_unseen(call)
        return value

    def _user_code(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        if call.remote:
            return self._hand_over(call, target, args, kwargs)
        zone = None if call.deadline is None else self.limits.zone()
        if zone is not None:
            return zone.user_code(lambda: self._own_code(target.fn, args, kwargs))
        return self._own_code(target.fn, args, kwargs)

    def _own_code(self, fn: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
        if getattr(worker, "active", False):
            return self._interrupts.run(fn, args, kwargs)
        return fn(*args, **kwargs)  # in the main thread the signal itself interrupts

    def _hand_over(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        """Has the task runner execute it. Raises OutOfTime once the time is up, when the work is dead."""
        assert self._session is not None
        work = Work(
            cast("Callable[..., Any]", target),
            args,
            kwargs,
            call.key,
            call.name,
            call.try_number,
            call.log_prints,
        )
        handle = self._session.submit(work)
        self._handles.add(handle)
        try:
            self._cancellation.check()
            left = None if call.deadline is None else max(0.0, self._left(call.deadline))
            if not handle.wait(left):
                handle.cancel(force=True)
                handle.wait(None)
                raise OutOfTime
            return handle.result()
        finally:
            self._handles.discard(handle)

    def _cancellable_wait(self, call: Call, started_us: int, delay_us: int) -> None:
        try:
            self._cancellation.wait(self._until(call.deadline, delay_us))
            self._check_time(call)
        except Cancelled as error:
            self._report.failed(call, "cancelled", started_us, error, call.try_number)
            raise

    # Time

    def _left(self, deadline: float) -> float:
        return deadline - self._pace.monotonic()

    def _until(self, deadline: float | None, delay_us: int) -> float:
        """Seconds to wait: no longer than there is time."""
        delay = delay_us / 1e6
        return delay if deadline is None else max(0.0, min(delay, self._left(deadline)))

    def _check_time(self, call: Call) -> None:
        if call.deadline is not None and self._left(call.deadline) <= 0:
            raise OutOfTime

    def _is_others(self, own: float, around: float | None) -> bool:
        """Whether it is not this limit that is up, or not this alone: then the wider one's call is what took too long."""
        now = self._pace.monotonic()
        return now < own or (around is not None and now >= around)

    # Async

    async def _perform_async(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs, after: Sequence[Any] = ()
    ) -> Any:
        try:
            await pool.settle_arguments(args, kwargs, after)
            settled_after(after)
            args, kwargs = resolve(args), resolve(kwargs)
            lookup = None
            if target.cache is not None:
                lookup = await self._look_up_async(call, target, args, kwargs)
        except BaseException as error:
            self._never_began(call, error)
            raise
        if lookup is None:
            return await self._run_async(call, target, args, kwargs)
        try:
            if lookup.hit is not None:
                return self._from_cache(call, lookup, lookup.hit)
            return await self._run_async(call, target, args, kwargs, lookup)
        finally:
            lookup.close()

    async def _look_up_async(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs
    ) -> Lookup:
        lookup = self._lookup(call, target, args, kwargs)
        try:
            while (pause := lookup.step()) is not None:
                await asyncio.sleep(self._until(call.deadline, round(pause * 1e6)))
                self._check_time(call)
        except BaseException:
            lookup.close()
            raise
        return lookup

    async def _run_async(
        self,
        call: Call,
        target: Target,
        args: Args,
        kwargs: Kwargs,
        lookup: Lookup | None = None,
    ) -> Any:
        started_us = self._begin(call, target, args, kwargs)
        token = enter(call)
        try:
            value = await self._tries_async(call, target, args, kwargs, started_us)
            self._completed(call, target, started_us, value, lookup)
            if target.hooks:
                await run_hooks_async(call, target, "completed", value)
            return value
        finally:
            leave(token)

    async def _tries_async(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs, started_us: int
    ) -> Any:
        while True:
            try:
                self._began(call, started_us)
                if target.hooks:
                    await run_hooks_async(call, target, "running")
                if target.timeout is None:
                    return await self._body_async(call, target, args, kwargs)
                return await self._limited_async(call, target, target.timeout, args, kwargs)
            except BaseException as error:
                verdict = self._judge(call, target, started_us, error)
                if isinstance(verdict, str):
                    if target.hooks and verdict != "suspended":
                        await run_hooks_async(call, target, verdict, error=error)
                    raise
            await self._async_wait(call, started_us, verdict)
            call.try_number += 1

    async def _limited_async(
        self, call: Call, target: Target, seconds: float, args: Args, kwargs: Kwargs
    ) -> Any:
        around = call.deadline
        own = self._pace.monotonic() + seconds
        call.deadline = own if around is None else min(own, around)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._body_async(call, target, args, kwargs)
        except (TimeoutError, OutOfTime) as error:
            late = (
                not self._is_others(own, around)
                if isinstance(error, OutOfTime)
                else limit.expired()
            )
            if not late:
                raise
            raise timed_out(target.name, seconds) from None
        finally:
            call.deadline = around

    async def _body_async(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        try:
            value = await target.fn(*args, **kwargs)
            await _settle(call)
        except BaseException as error:
            self._give_up(call, error)
            await _settle(call)
            raise
        _raise_unseen(call)
        return value

    async def _on_own_loop(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs, after: Sequence[Any]
    ) -> Any:
        limit = asyncio.timeout(None if call.deadline is None else self._left(call.deadline))
        with self._interrupts.listening(_canceller()):
            try:
                async with limit:
                    return await self._perform_async(call, target, args, kwargs, after)
            except TimeoutError:
                if limit.expired():
                    raise OutOfTime from None
                raise

    async def _on_shared_loop(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs, after: Sequence[Any]
    ) -> Any:
        """The loop's own coroutine for a submitted call. Whatever it submits holds no place of its own."""
        _inside_gate.set(True)
        self._cancellation.check()
        return await self._on_own_loop(call, target, args, kwargs, after)

    async def _async_wait(self, call: Call, started_us: int, delay_us: int) -> None:
        try:
            await asyncio.sleep(delay_us / 1e6)
        except asyncio.CancelledError as error:
            self._report.failed(call, "cancelled", started_us, error, call.try_number)
            raise

    async def _root_on_loop(self, root: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        self._cancellation.redirect(_canceller())
        try:
            self._cancellation.check()
            return await self._body_async(root, target, args, kwargs)
        finally:
            self._cancellation.redirect(None)

    def _give_up(self, call: Call, error: BaseException) -> None:
        """What has not begun never will; what runs is stopped only by a cancel. What a suspended flow has submitted ends
        first: it would have gone on during the wait.
        """
        if isinstance(error, Suspended) and not self._cancellation.requested:
            return
        children = list(call.children or ())
        for child in children:  # before others make room for them by ending
            child.forgo()
        for child in children:
            child.discard()
        if self._cancellation.requested:
            self._interrupts.strike()
            for handle in list(self._handles):
                handle.cancel(force=False)

    # Outcomes

    def _begin(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> int:
        """When it began, in microseconds; and its name is made, now that its arguments are there."""
        if target.run_name is not None:
            call.run_name = name_call(call, target, bind(target, args, kwargs))
        return self._report.clock()

    def _began(self, call: Call, started_us: int) -> None:
        """Inside the try, so that a cancel that comes while it is sent still gives the call an end."""
        if call.try_number == 1:
            self._report.started(call, started_us)

    def _judge(
        self, call: Call, target: Target, started_us: int, error: BaseException
    ) -> int | CallFailure | Literal["suspended"]:
        """Reports a failed try. Microseconds until the next one, or that it was the last, and what the call is then."""
        if isinstance(error, Suspended):
            return "suspended"
        delay_us = self._retry_delay(call, target, error)
        if delay_us is not None:
            self._report.retrying(call, error, delay_us)
            return delay_us
        cancelled = isinstance(error, Cancelled | asyncio.CancelledError | KeyboardInterrupt)
        outcome: CallFailure = "cancelled" if cancelled else "failed"
        self._report.failed(call, outcome, started_us, error, call.try_number)
        return outcome

    def _retry_delay(self, call: Call, target: Target, error: BaseException) -> int | None:
        """None: no more tries."""
        if (
            call.try_number > target.retries.limit
            or not isinstance(error, Exception)
            or self._cancellation.requested
        ):
            return None
        try:
            if target.retries.wants(target, error):
                return target.retries.delay_us(call.try_number, self._random.random)
        except Exception:  # noqa: BLE001 - a condition or delay function of the user's; it is logged
            _log.exception("%s is not tried again: its retry option failed", call.name)
        return None

    def _completed(
        self, call: Call, target: Target, started_us: int, value: Any, lookup: Lookup | None
    ) -> None:
        told = None if lookup is None else lookup.told()
        result = self._report.completed(call, target, started_us, value, told)
        if result["codec"] == "pickle":
            self._opaque.remember(value, call.ref)
        if lookup is not None:
            lookup.keep(result)

    # The cache

    def _lookup(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Lookup:
        arguments = bind(target, args, kwargs)
        return self.cache.lookup(call, target, arguments, anew=self._journal.had(call.key))

    def _from_cache(self, call: Call, lookup: Lookup, hit: Hit) -> Any:
        result = self._report.cached(call, hit, lookup.told())
        if result["codec"] == "pickle":
            self._opaque.remember(hit.value, call.ref)
        return hit.value

    def _never_began(self, call: Call, error: BaseException) -> None:
        """A call that one of its arguments fails: tried no times."""
        if isinstance(error, Suspended):
            return  # nor is it now: the next attempt calls it
        outcome: CallFailure = "failed" if isinstance(error, Exception) else "cancelled"
        self._report.failed(call, outcome, self._report.clock(), error, tries=0)


def _canceller() -> Callable[[], object]:
    """Cancels the present task of the present loop, from anywhere."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    return lambda: loop.call_soon_threadsafe(task.cancel)


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


def _wait_for(call: Call) -> None:
    for child in list(call.children or ()):
        child.wait()


async def _settle(call: Call) -> None:
    for child in list(call.children or ()):
        await child.settled()


def _raise_unseen(call: Call) -> None:
    """Fails the call for a failed child that nobody has looked at; of several, for any one."""
    if not call.children:
        return
    # A copy in one step: a child that has ended may be about to leave the set, in its own thread.
    children = list(call.children)
    errors = [error for child in children if (error := child.unseen_error()) is not None]
    call.children.clear()
    if errors:
        # A failure ends the flow, and that is the end of its waits too.
        raise next((error for error in errors if not isinstance(error, Suspended)), errors[0])
