"""A full disk must not end the agent: what could not be written is tried again, for a while."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from headway_agent.spool.errors import SpoolFault

log = logging.getLogger(__name__)
PAUSE_S = 1.0
TRIES = 300


async def patiently(change: Callable[[], Awaitable[None]]) -> None:
    """Repeats a change, which must be safe to repeat, while the disk takes none. In the end its error stands."""
    for _ in range(TRIES):
        try:
            return await change()
        except (SpoolFault, OSError) as fault:
            log.warning("%s", fault)
            await asyncio.sleep(PAUSE_S)
    return await change()
