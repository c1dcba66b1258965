"""Executes the calls of an attempt: identity, skip, retries, nesting, and the facts about each.

A call goes through: identity (key, in the caller, so that keys do not depend on the order in which threads run), the
journal (skip), its arguments' futures, tries, and the calls that it submitted itself. Sync and async calls share all
decisions; they differ in how they wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from headway import pool
from headway.context import Call, enter, leave
from headway.digests import ROOT, call_key, explicit_digest, stable_digest
from headway.errors import Cancelled
from headway.futures import Future, futures_in, resolve, running_loop, worker
from headway.pool import Pool
from headway.runtime.binding import bind
from headway.runtime.cancellation import Cancellation
from headway.runtime.interrupts import Interrupts
from headway.runtime.journal import Journal, Kept
from headway.runtime.opaque import OpaqueResults
from headway.runtime.reporter import CallFailure, Reporter
from headway.targets import Target

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


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
    ) -> None:
        self.facts = facts
        self._report = reporter
        self._journal = journal
        self._cancellation = cancellation
        self._pool = pool
        self._random = random
        self._origin = origin
        self._interrupts = Interrupts()
        self._opaque = OpaqueResults()

    def call(self, parent: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        call = self._identify(parent, target, args, kwargs)
        kept = self._skip(call)
        if target.is_async:
            return _given(kept.value) if kept else self._perform_async(call, target, args, kwargs)
        return kept.value if kept else self._perform(call, target, args, kwargs)

    def submit(self, parent: Call, target: Target, args: Args, kwargs: Kwargs) -> Future[Any]:
        call = self._identify(parent, target, args, kwargs)
        future: Future[Any] = Future(call.key)
        kept = self._skip(call)
        if kept:
            future.complete(kept.value)
            return future
        loop = running_loop()
        if target.is_async and loop is not None and parent.on_loop:
            future.follow(loop.create_task(self._perform_async(call, target, args, kwargs)))
            _adopt(parent, future)
            return future
        for argument in futures_in([args, kwargs]):
            if argument.loop is not None:
                future.bind_loop(argument.loop)
        future.assign(pool.fulfil(future, lambda: self._in_thread(call, target, args, kwargs)))
        _adopt(parent, future)
        self._pool.submit(future)
        return future

    def run_root(self, root: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        """The flow itself, from its first line until all that it submitted has ended."""
        token = enter(root)
        try:
            if target.is_async:
                return asyncio.run(self._root_on_loop(root, target, args, kwargs))
            return self._body(root, target, args, kwargs)
        finally:
            leave(token)

    # Identity

    def _identify(self, parent: Call, target: Target, args: Args, kwargs: Kwargs) -> Call:
        self._cancellation.check()
        digest = self._digest(target, args, kwargs)
        ordinal = parent.next_ordinal(target.name, digest)
        above = self._origin if parent.key == ROOT else parent.key
        key = call_key(above, target.name, digest, ordinal)
        return Call(self, key, parent.key, target.kind, target.name, on_loop=target.is_async)

    def _digest(self, target: Target, args: Args, kwargs: Kwargs) -> str:
        arguments = bind(target, args, kwargs)
        if target.key is not None:
            return explicit_digest(str(target.key(resolve(arguments))))
        # Without a stable digest the call gets a key of its own, which no other attempt can have.
        return (
            stable_digest(arguments, self._opaque.key_of)
            or f"random:{self._random.getrandbits(128):032x}"
        )

    def _skip(self, call: Call) -> Kept | None:
        kept = self._journal.find(call.key)
        if kept:
            self._report.skipped(call, kept)
            if kept.result["codec"] == "pickle":
                self._opaque.remember(kept.value, call.key)
        return kept

    # Sync

    def _in_thread(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        self._cancellation.check()
        if target.is_async:
            return asyncio.run(self._on_own_loop(call, target, args, kwargs))
        return self._perform(call, target, args, kwargs)

    def _perform(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        try:
            args, kwargs = resolve(args), resolve(kwargs)
        except BaseException as error:
            self._never_began(call, error)
            raise
        started_us = self._report.clock()
        token = enter(call)
        try:
            value = self._tries(call, target, args, kwargs, started_us)
            self._completed(call, target, started_us, value)
            return value
        finally:
            leave(token)

    def _tries(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs, started_us: int
    ) -> Any:
        while True:
            try:
                self._began(call, started_us)
                return self._body(call, target, args, kwargs)
            except BaseException as error:
                delay_us = self._judge(call, target, started_us, error)
                if delay_us is None:
                    raise
            self._cancellable_wait(call, started_us, delay_us)
            call.try_number += 1

    def _body(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        """One try: the function, then the calls it submitted and left behind."""
        try:
            value = self._user_code(target.fn, args, kwargs)
            _wait_for(call)
        except BaseException:
            self._give_up(call)
            _wait_for(call)
            raise
        _raise_unseen(call)
        return value

    def _user_code(self, fn: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
        if getattr(worker, "active", False):
            return self._interrupts.run(fn, args, kwargs)
        return fn(*args, **kwargs)  # in the main thread the signal itself interrupts

    def _cancellable_wait(self, call: Call, started_us: int, delay_us: int) -> None:
        try:
            self._cancellation.wait(delay_us / 1e6)
        except Cancelled as error:
            self._report.failed(call, "cancelled", started_us, error, call.try_number)
            raise

    # Async

    async def _perform_async(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        try:
            await pool.settle_arguments(args, kwargs)
            args, kwargs = resolve(args), resolve(kwargs)
        except BaseException as error:
            self._never_began(call, error)
            raise
        started_us = self._report.clock()
        token = enter(call)
        try:
            value = await self._tries_async(call, target, args, kwargs, started_us)
            self._completed(call, target, started_us, value)
            return value
        finally:
            leave(token)

    async def _tries_async(
        self, call: Call, target: Target, args: Args, kwargs: Kwargs, started_us: int
    ) -> Any:
        while True:
            try:
                self._began(call, started_us)
                return await self._body_async(call, target, args, kwargs)
            except BaseException as error:
                delay_us = self._judge(call, target, started_us, error)
                if delay_us is None:
                    raise
            await self._async_wait(call, started_us, delay_us)
            call.try_number += 1

    async def _body_async(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        try:
            value = await target.fn(*args, **kwargs)
            await _settle(call)
        except BaseException:
            self._give_up(call)
            await _settle(call)
            raise
        _raise_unseen(call)
        return value

    async def _on_own_loop(self, call: Call, target: Target, args: Args, kwargs: Kwargs) -> Any:
        with self._interrupts.listening(_canceller()):
            return await self._perform_async(call, target, args, kwargs)

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

    def _give_up(self, call: Call) -> None:
        """What has not begun never will; what runs is stopped only by a cancel."""
        for child in list(call.children):
            child.discard()
        if self._cancellation.requested:
            self._interrupts.strike()

    # Outcomes

    def _began(self, call: Call, started_us: int) -> None:
        """Inside the try, so that a cancel that comes while it is sent still gives the call an end."""
        if call.try_number == 1:
            self._report.started(call, started_us)

    def _judge(
        self, call: Call, target: Target, started_us: int, error: BaseException
    ) -> int | None:
        """Reports a failed try. Microseconds until the next one, or None: that was the last."""
        may_retry = isinstance(error, Exception) and not self._cancellation.requested
        if may_retry and call.try_number <= target.retries.limit:
            delay_us = target.retries.delay_us(call.try_number, self._random.random)
            self._report.retrying(call, error, delay_us)
            return delay_us
        cancelled = isinstance(error, Cancelled | asyncio.CancelledError | KeyboardInterrupt)
        self._report.failed(
            call, "cancelled" if cancelled else "failed", started_us, error, call.try_number
        )
        return None

    def _completed(self, call: Call, target: Target, started_us: int, value: Any) -> None:
        result = self._report.completed(call, target, started_us, value)
        if result["codec"] == "pickle":
            self._opaque.remember(value, call.key)

    def _never_began(self, call: Call, error: BaseException) -> None:
        """A call that one of its arguments fails: tried no times."""
        outcome: CallFailure = "failed" if isinstance(error, Exception) else "cancelled"
        self._report.failed(call, outcome, self._report.clock(), error, tries=0)


def _canceller() -> Callable[[], object]:
    """Cancels the present task of the present loop, from anywhere."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    return lambda: loop.call_soon_threadsafe(task.cancel)


async def _given(value: Any) -> Any:
    return value


def _adopt(parent: Call, future: Future[Any]) -> None:
    parent.children.add(future)

    def ended(child: Future[Any]) -> None:
        # Failures stay until the parent ends, for somebody may still look at them; values are not held on to.
        if child.unseen_error() is None:
            parent.children.discard(child)

    future.on_done(ended)


def _wait_for(call: Call) -> None:
    for child in list(call.children):
        child.wait()


async def _settle(call: Call) -> None:
    for child in list(call.children):
        await child.settled()


def _raise_unseen(call: Call) -> None:
    """Fails the call for a failed child that nobody has looked at; of several, for any one."""
    # A copy in one step: a child that has ended may be about to leave the set, in its own thread.
    children = list(call.children)
    errors = [error for child in children if (error := child.unseen_error()) is not None]
    call.children.clear()
    if errors:
        raise errors[0]
