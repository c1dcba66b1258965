"""How time passes for an attempt: as the machine's does. `headway.testing` has another, which a test moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Pace:
    """The clock of deadlines, and the event loops that keep to it."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine to its end, on an event loop of its own."""
        return asyncio.run(coroutine)


REAL = Pace()
