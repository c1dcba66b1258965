"""The agent's clocks. Everything else takes a `Clock`; the composition root makes the real one."""

import time
from typing import Protocol


class Clock(Protocol):
    """What the agent may ask of time."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC: for people and records, never for deadlines."""

    def monotonic(self) -> float:
        """Seconds that never go back: for deadlines inside this process."""

    def boottime(self) -> float:
        """Seconds that never go back and count through suspension: for leases."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        # macOS has no CLOCK_BOOTTIME; its monotonic clock is the nearest.
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
