"""The life of a serving process: up, ready, told to stop, drained."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

_log = logging.getLogger(__name__)

STOPPED_NOW = 130
NOT_DRAINED = 1


class StopRequest:
    """Set by TERM, INT or the end of the lifeline; a second signal ends the process on the spot."""

    def __init__(self, lifeline: int | None) -> None:
        self._asked = asyncio.Event()
        self._lifeline = lifeline
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        if lifeline is not None:
            os.set_blocking(lifeline, False)
            loop.add_reader(lifeline, self._on_lifeline, lifeline)

    async def wait(self) -> None:
        await self._asked.wait()

    def _on_signal(self) -> None:
        if self._asked.is_set():
            _log.warning("told to stop a second time: leaving at once")
            os._exit(STOPPED_NOW)
        self._ask("a signal came")

    def _on_lifeline(self, lifeline: int) -> None:
        if not os.read(lifeline, 512):
            asyncio.get_running_loop().remove_reader(lifeline)
            self._ask("whoever started us let go")

    def _ask(self, why: str) -> None:
        _log.info("draining: %s", why)
        self._asked.set()


async def run_until_stopped(
    service: AbstractAsyncContextManager[Callable[[], Awaitable[object]]],
    *,
    drain_timeout: float,
    lifeline: int | None = None,
    ready: int | None = None,
) -> None:
    """Enter the service, say that it serves, wait for a stop request, leave it.

    Entering yields a function that waits for as long as the service is whole and raises what broke it. Leaving that
    takes longer than the drain's time is cut short: whatever stands in its way, a process that was told to end ends.
    """
    stop = StopRequest(lifeline)
    async with service as until_broken:
        if ready is not None:
            announce_ready(ready)
        broken = asyncio.ensure_future(until_broken())
        stopped = asyncio.ensure_future(stop.wait())
        done, pending = await asyncio.wait({broken, stopped}, return_when=asyncio.FIRST_COMPLETED)
        asyncio.get_running_loop().call_later(drain_timeout, _cut_short, drain_timeout)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()


def _cut_short(seconds: float) -> None:
    _log.error(
        "not drained after %g s: leaving at once; nothing that was acknowledged is lost", seconds
    )
    os._exit(NOT_DRAINED)


def announce_ready(descriptor: int) -> None:
    """Write the line that our starter waits for. Should it be gone, the lifeline tells that, not this pipe."""
    try:
        os.write(descriptor, b"ready\n")
    except BrokenPipeError:
        _log.info("nobody waits for the line that says ready")
    finally:
        os.close(descriptor)
