"""The engine's cancels, time limits and threads, under a clock that only a test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import Any

from headway.errors import Cancelled
from headway.futures import Future, running_loop
from headway.pool import Pool
from headway.runtime.cancellation import Cancellation
from headway.runtime.limits import Limit, Limits
from headway.runtime.pace import Pace
from headway.testing.time import Clock


class SteppedCancellation(Cancellation):
    """Without signals. The flow's own time limit, which its supervisor keeps, is kept here."""

    def __init__(self, clock: Clock, pass_time: Callable[[float], None]) -> None:
        super().__init__()
        self._clock = clock
        self._pass_time = pass_time

    def install(self) -> None:
        """Nothing: no signal comes."""

    def retire(self) -> None:
        """Nothing, likewise."""

    def expect_timeout(self, seconds: float) -> None:
        self._deadline = self._clock.monotonic() + seconds

    def wait(self, seconds: float) -> None:
        self.check()
        self._pass_time(seconds)
        self.check()

    def due(self, until: float) -> Iterator[float]:
        """The flow's deadline, if it comes by then."""
        if not self.requested and self._deadline <= until:
            yield self._deadline

    def expire(self) -> None:
        """Cancels the flow whose time is up; raises Cancelled where no event loop will."""
        if self.requested or self._deadline > self._clock.monotonic():
            return
        self.timed_out = True
        self.ask()
        if self._on_loop is None:
            raise Cancelled

    def ask(self) -> None:
        """From now on the engine begins nothing any more."""
        if not self.requested:
            self.requested = True
            self._gate.release()
            if self._on_loop is not None:
                self._on_loop()


class SteppedLimits(Limits):
    """Time limits without a watchdog: whoever moves the clock has them expire."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(pace)
        self._lock = Lock()
        self._open: list[Limit] = []

    def _watch(self, limit: Limit) -> None:
        with self._lock:
            self._open.append(limit)
        limit.expired = limit.deadline <= self._pace.monotonic()

    def _forget(self, limit: Limit) -> None:
        with self._lock:
            limit.over = True
            self._open.remove(limit)

    def due(self, until: float) -> list[float]:
        """The deadlines that come by then."""
        with self._lock:
            return [one.deadline for one in self._open if one.deadline <= until and not one.expired]

    def expire(self) -> None:
        """Ends user code whose time is up: here by raising OutOfTime, in other threads at their next step."""
        own = self.zone()
        now = self._pace.monotonic()
        with self._lock:
            late = [one for one in self._open if one.deadline <= now and not one.expired]
        for limit in late:
            limit.expired = True
            if limit.zone is not own:
                limit.zone.strike()
        if own is not None:
            own.handle()


class SteppedPool(Pool):
    """Executes a call when it is submitted, before its caller goes on: one after the other, each time the same.

    On an event loop's thread that could block what the call waits for; there one thread executes them, or so many as the
    test asks for.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(threads or 1, daemon=True)
        self._at_once = not threads
        self._under_way = 0
        self._counting = Lock()
        self._needed = local()

    @contextmanager
    def after(self, futures: Iterable[Future[Any]]) -> Iterator[None]:
        """What is submitted in here gets a thread only when these have ended: one that waits is not at work."""
        self._needed.futures = tuple(futures)
        try:
            yield
        finally:
            self._needed.futures = ()

    def is_busy(self) -> bool:
        """Whether threads are at work."""
        return self._under_way > 0

    def submit(self, future: Future[Any]) -> None:
        if self._at_once and running_loop() is None:
            work = future.claim()
            if work is not None:
                work()
            return
        self._hand_over(future, getattr(self._needed, "futures", ()))

    def _hand_over(self, future: Future[Any], needed: tuple[Future[Any], ...]) -> None:
        left = tuple(need for need in needed if not need.done())
        if left:
            left[0].on_done(lambda _: self._hand_over(future, left[1:]))
            return
        with self._counting:
            self._under_way += 1
        future.on_done(self._ended)
        super().submit(future)

    def _ended(self, _future: Future[Any]) -> None:
        with self._counting:
            self._under_way -= 1
