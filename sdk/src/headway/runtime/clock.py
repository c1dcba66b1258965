"""The two clocks of the runtime, read in this module alone."""

import time


def now_us() -> int:
    """Microseconds since the epoch, UTC: for records."""
    return time.time_ns() // 1_000


def monotonic() -> float:
    """Seconds that never go back: for deadlines."""
    return time.monotonic()
