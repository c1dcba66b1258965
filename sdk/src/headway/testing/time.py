"""Time that only a test, and the waits of what it tests, move."""

from __future__ import annotations

from asyncio import Future, Runner, SelectorEventLoop
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from math import ceil
from selectors import DefaultSelector, SelectorKey
from time import monotonic
from typing import Any, TypeVar, TypeVarTuple, Unpack

from headway.runtime.pace import Pace

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
PassTime = Callable[[float], None]
_TICKS = 1 << 24
"""To the second: a power of two, so that sums of times are exact and a deadline that was waited for is reached."""


class Clock:
    """Stands still until it is moved: by `advance`, and by whatever waits in a run.

    Waits move it by what they wait for, at once: delays of retries, `headway.sleep`, and in the code of flows and tasks
    `time.sleep` and `asyncio.sleep`. Code that only computes takes no time.
    """

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError(f"a clock starts at an instant with a zone, not at {start!r}")
        self._start_us = round(start.timestamp() * 1e6)
        self._ticks = 0
        self._pass: PassTime = self.move

    def now(self) -> datetime:
        """The instant that the run's facts would have now, UTC."""
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self.now_us())

    def now_us(self) -> int:
        """As `now`, in microseconds since the epoch."""
        return self._start_us + round(self._ticks * 1_000_000 / _TICKS)

    def monotonic(self) -> float:
        """Seconds since the clock began."""
        return self._ticks / _TICKS

    def advance(self, seconds: float | timedelta) -> None:
        """Lets time pass: seconds, or a timedelta. Called by a task or flow, it is what that takes.

        What is due happens: a time limit that is up ends the call in which this is called, here. ValueError for less
        than nothing.
        """
        length = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        if not 0 <= length < float("inf"):
            raise ValueError(f"time passes by 0 or more seconds, not by {seconds!r}")
        self._pass(length)

    def move(self, seconds: float) -> None:
        """Moves the hands, and nothing happens."""
        self._ticks += max(0, ceil(seconds * _TICKS))

    def let(self, passing: PassTime | None) -> None:
        """From now on time passes so; None: by moving the hands alone."""
        self._pass = self.move if passing is None else passing


class SteppedPace(Pace):
    """The engine's time, from a clock. `pass_time` lets it pass, `is_busy` tells of threads at work."""

    def __init__(self, clock: Clock, pass_time: PassTime, is_busy: Callable[[], bool]) -> None:
        self._clock = clock
        self._pass_time = pass_time
        self._is_busy = is_busy

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with Runner(loop_factory=self._loop) as runner:
            return runner.run(coroutine)

    def _loop(self) -> SteppedLoop:
        return SteppedLoop(self._clock, self._pass_time, self._is_busy)


class SteppedLoop(SelectorEventLoop):
    """An event loop that does not wait for its timers: where nothing else can happen, the clock goes to the next one.

    While threads or sockets are at work, which take real time, so do its timers.
    """

    def __init__(self, clock: Clock, pass_time: PassTime, is_busy: Callable[[], bool]) -> None:
        self._clock = clock
        self._threads_are_busy = is_busy
        self._lent: set[object] = set()
        self._waits = SteppedSelector(pass_time, self._is_busy)
        super().__init__(self._waits)
        self._waits.own_files = len(self._waits.get_map())

    def time(self) -> float:
        """Seconds of the clock."""
        return self._clock.monotonic()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> Future[T]:
        """As ever; and until it has ended, time is real."""
        future = super().run_in_executor(executor, func, *args)
        self._lent.add(future)
        future.add_done_callback(self._lent.discard)
        return future

    def _is_busy(self) -> bool:
        return bool(self._lent) or self._threads_are_busy()


class SteppedSelector(DefaultSelector):
    """Where an event loop waits: for what threads and sockets do as ever, for its timers not at all."""

    def __init__(self, pass_time: PassTime, is_busy: Callable[[], bool]) -> None:
        super().__init__()
        self.own_files = 0
        """How many files the loop itself looks at, to be woken by threads."""
        self._pass_time = pass_time
        self._is_busy = is_busy

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self._is_busy() or len(self.get_map()) > self.own_files:
            before = monotonic()
            events = super().select(timeout)
            self._pass_time(monotonic() - before)
            return events
        events = super().select(0)
        if not events:
            self._pass_time(timeout)
        return events
