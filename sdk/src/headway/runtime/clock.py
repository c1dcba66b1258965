"""The two clocks of the supervisor."""

import time

from headway.clock import now_us

__all__ = ["monotonic", "now_us"]


def monotonic() -> float:
    """Seconds that never go back: for deadlines."""
    return time.monotonic()
