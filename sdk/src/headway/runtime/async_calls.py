"""Executes async calls: on the loop of the caller, on one of their own, or on the loop of an AsyncRunner."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from typing import Any

from headway import pool
from headway.completion import confirmed
from headway.context import Call, enter, leave
from headway.definitions import Definition
from headway.errors import ResultTooLarge
from headway.futures import resolve, settled_after
from headway.runtime.base_calls import Args, BaseCalls, Kwargs, raise_unseen
from headway.runtime.cache import Lookup
from headway.runtime.limits import OutOfTime, timed_out
from headway.runtime.told import run_hooks_async

inside_gate: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "headway_inside_gate", default=False
)
"""Whether the code belongs to a submitted call that holds a place of the AsyncRunner already."""


class AsyncCalls(BaseCalls):
    """The same way as that of a sync call, waited for on a loop."""

    async def _perform_async(
        self,
        call: Call,
        definition: Definition,
        args: Args,
        kwargs: Kwargs,
        after: Sequence[Any] = (),
    ) -> Any:
        try:
            await pool.settle_arguments(args, kwargs, after)
            settled_after(after)
            args, kwargs = resolve(args), resolve(kwargs)
            lookup = None
            if definition.cache is not None:
                lookup = await self._look_up_async(call, definition, args, kwargs)
        except BaseException as error:
            self._never_began(call, error)
            raise
        if lookup is None:
            return await self._run_async(call, definition, args, kwargs)
        try:
            if lookup.hit is not None:
                return self._from_cache(call, lookup, lookup.hit)
            return await self._run_async(call, definition, args, kwargs, lookup)
        finally:
            lookup.close()

    async def _look_up_async(
        self, call: Call, definition: Definition, args: Args, kwargs: Kwargs
    ) -> Lookup:
        lookup = self._lookup(call, definition, args, kwargs)
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
        definition: Definition,
        args: Args,
        kwargs: Kwargs,
        lookup: Lookup | None = None,
    ) -> Any:
        started_us = self._begin(call, definition, args, kwargs)
        token = enter(call)
        try:
            value = await self._tries_async(call, definition, args, kwargs, started_us)
            try:
                self._completed(call, definition, started_us, value, lookup)
            except ResultTooLarge as error:
                if definition.hooks:
                    await run_hooks_async(call, definition, "failed", error=error)
                raise
            if definition.hooks and not call.is_found:
                await run_hooks_async(call, definition, "completed", value)
            return value
        finally:
            leave(token)

    async def _tries_async(
        self, call: Call, definition: Definition, args: Args, kwargs: Kwargs, started_us: int
    ) -> Any:
        while True:
            try:
                made = self._made(call, definition, args, kwargs)
                if call.is_found:
                    return made
                self._began(call, started_us)
                if definition.hooks:
                    await run_hooks_async(call, definition, "running")
                if definition.timeout is None:
                    value = await self._body_async(call, definition, args, kwargs)
                else:
                    value = await self._limited_async(
                        call, definition, definition.timeout, args, kwargs
                    )
                return value if made is None else confirmed(definition.name, made, value)
            except BaseException as error:
                verdict = self._judge(call, definition, started_us, error)
                if isinstance(verdict, str):
                    if definition.hooks and verdict != "suspended":
                        await run_hooks_async(call, definition, verdict, error=error)
                    raise
            await self._async_wait(call, started_us, verdict)
            call.try_number += 1

    async def _limited_async(
        self, call: Call, definition: Definition, seconds: float, args: Args, kwargs: Kwargs
    ) -> Any:
        around = call.deadline
        own = self._pace.monotonic() + seconds
        call.deadline = own if around is None else min(own, around)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._body_async(call, definition, args, kwargs)
        except (TimeoutError, OutOfTime) as error:
            late = (
                not self._is_others(own, around)
                if isinstance(error, OutOfTime)
                else limit.expired()
            )
            if not late:
                raise
            raise timed_out(definition.name, seconds) from None
        finally:
            call.deadline = around

    async def _body_async(
        self, call: Call, definition: Definition, args: Args, kwargs: Kwargs
    ) -> Any:
        try:
            value = await definition.fn(*args, **kwargs)
            await settle(call)
        except BaseException as error:
            self._give_up(call, error)
            await settle(call)
            raise
        raise_unseen(call)
        return value

    async def _on_own_loop(
        self, call: Call, definition: Definition, args: Args, kwargs: Kwargs, after: Sequence[Any]
    ) -> Any:
        limit = asyncio.timeout(None if call.deadline is None else self._left(call.deadline))
        with self._interrupts.listening(_canceller()):
            try:
                async with limit:
                    return await self._perform_async(call, definition, args, kwargs, after)
            except TimeoutError:
                if limit.expired():
                    raise OutOfTime from None
                raise

    async def _on_shared_loop(
        self, call: Call, definition: Definition, args: Args, kwargs: Kwargs, after: Sequence[Any]
    ) -> Any:
        """The loop's own coroutine for a submitted call. Whatever it submits holds no place of its own."""
        inside_gate.set(True)
        self._cancellation.check()
        return await self._on_own_loop(call, definition, args, kwargs, after)

    async def _async_wait(self, call: Call, started_us: int, delay_us: int) -> None:
        try:
            await asyncio.sleep(delay_us / 1e6)
        except asyncio.CancelledError as error:
            self._report.failed(call, "cancelled", started_us, error, call.try_number)
            raise

    async def _root_on_loop(
        self, root: Call, definition: Definition, args: Args, kwargs: Kwargs
    ) -> Any:
        self._cancellation.redirect(_canceller())
        try:
            self._cancellation.check()
            return await self._body_async(root, definition, args, kwargs)
        finally:
            self._cancellation.redirect(None)


def _canceller() -> Callable[[], object]:
    """Cancels the present task of the present loop, from anywhere."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    return lambda: loop.call_soon_threadsafe(task.cancel)


async def settle(call: Call) -> None:
    for child in list(call.children or ()):
        await child.settled()
