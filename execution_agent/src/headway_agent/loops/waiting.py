"""Waiting with a deadline, the one way loops wait."""

import asyncio
import contextlib


async def wait_for(event: asyncio.Event, seconds: float | None) -> bool:
    """Waits until the event is set, at most `seconds`. Whether it was."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if seconds is None else max(seconds, 0)):
            await event.wait()
    return event.is_set()
