"""The one place that runs a transaction again after PostgreSQL asked for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from psycopg.errors import DeadlockDetected, SerializationFailure

Result = TypeVar("Result")

_ATTEMPTS = 5
_FIRST_PAUSE = 0.01


async def retry_conflicts(
    operation: Callable[[], Awaitable[Result]],
    *,
    random: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    attempts: int = _ATTEMPTS,
) -> Result:
    """Run a whole transaction; again, after a short random pause, when it collided with another one.

    Only collisions are retried: they were rolled back for certain. A lost connection is not, because its COMMIT may
    have happened; that is for the caller, who knows whether a second run is harmless.
    """
    for attempt in range(attempts - 1):
        try:
            return await operation()
        except (SerializationFailure, DeadlockDetected):
            await sleep(random() * _FIRST_PAUSE * 2**attempt)
    return await operation()
