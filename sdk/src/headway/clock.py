"""The one place of the SDK that reads the wall clock: the user's process is an edge of the system."""

import time


def now_us() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1000
