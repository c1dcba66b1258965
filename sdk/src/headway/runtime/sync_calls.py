"""Executes sync calls: in the caller's thread, or by the flow's task runner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from headway.completion import confirmed
from headway.context import Call, enter, leave
from headway.definitions import Definition
from headway.errors import Cancelled, ResultTooLarge
from headway.futures import resolve, settled_after, worker
from headway.runners import Work
from headway.runtime.base_calls import Args, BaseCalls, Kwargs, raise_unseen
from headway.runtime.cache import Lookup
from headway.runtime.limits import OutOfTime, timed_out
from headway.runtime.told import run_hooks


class SyncCalls(BaseCalls):
    """The way of a sync call: its arguments, the cache, tries, the function, what it submitted."""

    def _perform(
        self,
        call: Call,
        definition: Definition,
        args: Args,
        kwargs: Kwargs,
        after: Sequence[Any] = (),
    ) -> Any:
        try:
            settled_after(after)
            args, kwargs = resolve(args), resolve(kwargs)
            lookup = (
                None if definition.cache is None else self._look_up(call, definition, args, kwargs)
            )
        except BaseException as error:
            self._never_began(call, error)
            raise
        if lookup is None:
            return self._run(call, definition, args, kwargs)
        try:
            if lookup.hit is not None:
                return self._from_cache(call, lookup, lookup.hit)
            return self._run(call, definition, args, kwargs, lookup)
        finally:
            lookup.close()

    def _look_up(self, call: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Lookup:
        lookup = self._lookup(call, definition, args, kwargs)
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
        definition: Definition,
        args: Args,
        kwargs: Kwargs,
        lookup: Lookup | None = None,
    ) -> Any:
        started_us = self._begin(call, definition, args, kwargs)
        token = enter(call)
        try:
            value = self._tries(call, definition, args, kwargs, started_us)
            try:
                self._completed(call, definition, started_us, value, lookup)
            except ResultTooLarge as error:
                if definition.hooks:
                    run_hooks(call, definition, "failed", error=error)
                raise
            if definition.hooks and not call.is_found:
                run_hooks(call, definition, "completed", value)
            return value
        finally:
            leave(token)

    def _tries(
        self, call: Call, definition: Definition, args: Args, kwargs: Kwargs, started_us: int
    ) -> Any:
        while True:
            try:
                made = self._made(call, definition, args, kwargs)
                if call.is_found:
                    return made
                self._began(call, started_us)
                if definition.hooks:
                    run_hooks(call, definition, "running")
                if definition.timeout is None:
                    value = self._body(call, definition, args, kwargs)
                else:
                    value = self._limited(call, definition, definition.timeout, args, kwargs)
                return value if made is None else confirmed(definition.name, made, value)
            except BaseException as error:
                verdict = self._judge(call, definition, started_us, error)
                if isinstance(verdict, str):
                    if definition.hooks and verdict != "suspended":
                        run_hooks(call, definition, verdict, error=error)
                    raise
            self._cancellable_wait(call, started_us, verdict)
            call.try_number += 1

    def _limited(
        self, call: Call, definition: Definition, timeout: float, args: Args, kwargs: Kwargs
    ) -> Any:
        """One try under a time limit."""
        around = call.deadline
        own = self._pace.monotonic() + timeout
        call.deadline = own if around is None else min(own, around)
        try:
            if call.remote:
                return self._body(call, definition, args, kwargs)
            return self.limits.run(
                call.deadline, lambda: self._body(call, definition, args, kwargs)
            )
        except OutOfTime:
            if self._is_others(own, around):
                raise
            raise timed_out(definition.name, timeout) from None
        finally:
            call.deadline = around

    def _body(self, call: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Any:
        """One try: the function, then the calls it submitted and left behind."""
        try:
            value = self._user_code(call, definition, args, kwargs)
            wait_for(call)
        except BaseException as error:
            self._give_up(call, error)
            wait_for(call)
            raise
        raise_unseen(call)
        return value

    def _user_code(self, call: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Any:
        if call.remote:
            return self._hand_over(call, definition, args, kwargs)
        zone = None if call.deadline is None else self.limits.zone()
        if zone is not None:
            return zone.user_code(lambda: self._own_code(definition.fn, args, kwargs))
        return self._own_code(definition.fn, args, kwargs)

    def _own_code(self, fn: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
        if getattr(worker, "active", False):
            return self._interrupts.run(fn, args, kwargs)
        return fn(*args, **kwargs)  # in the main thread the signal itself interrupts

    def _hand_over(self, call: Call, definition: Definition, args: Args, kwargs: Kwargs) -> Any:
        """Has the task runner execute it. Raises OutOfTime once the time is up, when the work is dead."""
        assert self._session is not None
        work = Work(
            cast("Callable[..., Any]", definition),
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


def wait_for(call: Call) -> None:
    for child in list(call.children or ()):
        child.wait()
