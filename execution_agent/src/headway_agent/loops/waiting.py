"""Waiting with a deadline, the one way loops wait."""

import asyncio
import contextlib


async def wait_for(event: asyncio.Event, seconds: float | None) -> bool:
    """Waits until the event is set, at most `seconds`. Whether it was."""
    if seconds is None:
        return await event.wait()  # a timer that never fires costs as much as the wait itself
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    return event.is_set()
