"""Time limits of sync code: raises OutOfTime in user code of the thread that is late, and nowhere else.

As with cancels, an exception from outside may strike between any two steps, and must not strike the engine. Where a
limit is in force, its thread therefore says when it enters user code and when it leaves it. Nobody else pays for that.
"""

from __future__ import annotations

import heapq
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

from headway.errors import Cancelled, TimedOut
from headway.runtime.handlers import set_handler
from headway.runtime.interrupts import raise_in
from headway.runtime.pace import REAL, Pace

T = TypeVar("T")
SIGNAL = signal.SIGURG
"""Reaches the main thread even in a blocking system call. Its default is to be ignored, so a late one harms nobody."""

_CLEARED_AT = 256


class OutOfTime(Cancelled):
    """Ends user code whose time, or the time of a call around it, is up. `except Exception` does not catch it."""

    def __init__(self, message: str = "the time of this call, or of one around it, was up") -> None:
        super().__init__(message)


class Zone:
    """One thread and the limits in force on it."""

    def __init__(self, *, by_signal: bool) -> None:
        self.limits: list[Limit] = []
        self._thread = threading.get_ident()
        self._is_main = by_signal and threading.current_thread() is threading.main_thread()
        self._lock = threading.Lock()
        self._in_user_code = False
        self._struck = False

    @property
    def expired(self) -> bool:
        return any(limit.expired for limit in self.limits)

    def strike(self) -> None:
        """From the watchdog's thread. In the engine nothing happens now: whoever returns to user code looks."""
        with self._lock:
            if not self._in_user_code:
                return
            if self._is_main:
                signal.pthread_kill(self._thread, SIGNAL)
            else:
                self._struck = True
                raise_in(self._thread, OutOfTime)

    def handle(self) -> None:
        """In the main thread, between two steps of whatever runs there. Takes no lock, for this thread may hold it."""
        if self._in_user_code and self.expired:
            raise OutOfTime

    def user_code(self, function: Callable[[], T]) -> T:
        """Calls user code, which may be struck. Raises OutOfTime at once if it is too late already."""
        try:
            self._enter()
            return function()
        finally:
            try:
                self._leave()
            except OutOfTime:  # the blow fell on the way in: there is only one
                self._leave()

    @contextmanager
    def engine(self) -> Iterator[None]:
        """A stretch of the engine that user code has called."""
        self._leave()
        try:
            yield
        finally:
            self._enter()

    def _enter(self) -> None:
        with self._lock:
            if self.expired:
                raise OutOfTime
            self._in_user_code = True

    def _leave(self) -> None:
        while True:
            try:
                with self._lock:
                    self._in_user_code = False
                    if self._struck:
                        self._struck = False
                        raise_in(self._thread, None)
                return
            except OutOfTime:
                # The blow fell inside this very method; it is remembered by its limit, so nothing is lost.
                continue


class Limit:
    """One stretch of one thread that must end in time."""

    __slots__ = ("deadline", "expired", "over", "zone")

    def __init__(self, zone: Zone, deadline: float) -> None:
        self.zone = zone
        self.deadline = deadline
        self.expired = False
        self.over = False


class Limits:
    """The limits of one run."""

    def __init__(self, pace: Pace = REAL) -> None:
        self._pace = pace
        self._by_signal = False
        self._local = threading.local()
        self._condition = threading.Condition()
        self._order = count()
        self._waiting: list[tuple[float, int, Limit]] = []
        self._over = 0
        self._watchdog: threading.Thread | None = None
        self._closed = False

    def install(self) -> None:
        """Lets limits reach the main thread. Main thread only."""
        set_handler(SIGNAL, self._handle)
        self._by_signal = True

    def zone(self) -> Zone | None:
        """The present thread, if a limit is in force on it."""
        zone: Zone | None = getattr(self._local, "zone", None)
        return zone if zone is not None and zone.limits else None

    def run(self, deadline: float, function: Callable[[], T]) -> T:
        """Calls the function, whose user code gets OutOfTime at the deadline (monotonic). That is raised here then."""
        zone = self._own_zone()
        limit = Limit(zone, deadline)
        zone.limits.append(limit)
        self._watch(limit)
        try:
            return function()
        finally:
            zone.limits.remove(limit)
            self._forget(limit)

    def close(self) -> None:
        """No limit is in force any more, and none will be: the watchdog ends."""
        with self._condition:
            self._closed = True
            self._condition.notify()

    def _own_zone(self) -> Zone:
        zone: Zone | None = getattr(self._local, "zone", None)
        if zone is None:
            zone = self._local.zone = Zone(by_signal=self._by_signal)
        return zone

    def _watch(self, limit: Limit) -> None:
        with self._condition:
            heapq.heappush(self._waiting, (limit.deadline, next(self._order), limit))
            if self._watchdog is None:
                self._watchdog = threading.Thread(
                    target=self._keep_watch, name="headway-limits", daemon=True
                )
                self._watchdog.start()
            elif self._waiting[0][2] is limit:
                self._condition.notify()

    def _forget(self, limit: Limit) -> None:
        """Of many calls with a long limit each, most are over long before it: they are cleared away by the hundred."""
        with self._condition:
            limit.over = True
            self._over += 1
            if self._over >= _CLEARED_AT and self._over * 2 >= len(self._waiting):
                self._waiting = [entry for entry in self._waiting if not entry[2].over]
                heapq.heapify(self._waiting)
                self._over = 0

    def _keep_watch(self) -> None:
        while not self._closed:
            for limit in self._due():
                limit.expired = True
                limit.zone.strike()

    def _due(self) -> list[Limit]:
        """Waits for the next deadline; limits that are over are dropped on the way."""
        with self._condition:
            while self._waiting and (self._waiting[0][2].over or self._is_due()):
                limit = heapq.heappop(self._waiting)[2]
                if not limit.over:
                    return [limit]
            if not self._closed:
                self._condition.wait(self._left())
            return []

    def _is_due(self) -> bool:
        return self._waiting[0][0] <= self._pace.monotonic()

    def _left(self) -> float | None:
        return max(0.0, self._waiting[0][0] - self._pace.monotonic()) if self._waiting else None

    def _handle(self, _number: int, _frame: Any) -> None:
        zone = self.zone()
        if zone is not None:
            zone.handle()


def timed_out(name: str, timeout: float) -> TimedOut:
    return TimedOut(f"{name} took longer than its timeout of {timeout:g} s, and was stopped")
