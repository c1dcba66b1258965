"""Runs the loops of the agent as one: if one dies, all end, and the process with them.

A half-dead agent - one that renews its lease and reports nothing - is worse than a dead one, which is restarted.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


class LoopEnded(RuntimeError):
    """A loop returned that never should."""


@dataclass(frozen=True, slots=True)
class Loop:
    """`may_end`: its return ends the agent in order."""

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]
    may_end: bool = False


async def supervise(loops: Sequence[Loop]) -> None:
    """Starts loops in order and ends them in reverse, once one that may end does or any fails. Raises its error."""
    running = [(loop, asyncio.create_task(loop.run(), name=loop.name)) for loop in loops]
    try:
        await asyncio.wait({task for _, task in running}, return_when=asyncio.FIRST_COMPLETED)
        early = [(loop, task) for loop, task in running if task.done()]
    finally:
        errors = [error for _, task in reversed(running) if (error := await _stop(task))]
    if errors:
        raise errors[0]
    for loop, _ in early:
        if not loop.may_end:
            raise LoopEnded(f"{loop.name} ended")


async def _stop(task: asyncio.Task[None]) -> BaseException | None:
    """Ends one loop and gives its error. Its own clean-up has all the time it needs."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if task.cancelled():
        return None
    error = task.exception()
    if error is not None:
        log.error("%s failed: %s", task.get_name(), error)
    return error
