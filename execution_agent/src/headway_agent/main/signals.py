"""How the operator ends the agent: the first signal drains, the second one stops."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator

from headway_agent.core import session
from headway_agent.loops.hub import Hub

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def signals(hub: Hub, *, drain_wait: bool, parent_fd: int | None) -> Iterator[None]:
    """Listens to signals and, where there is one, to the parent's pipe: its end means that the parent is gone."""
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if hub.session.draining:
            log.warning("stopping now; what runs goes on under its supervisors")
            hub.tell_session(session.StopAsked())
        else:
            log.info("draining; once more to stop now", extra={"running": len(hub.session.running)})
            hub.tell_session(session.DrainAsked(drain_wait))

    def parent_spoke() -> None:
        if parent_fd is not None and not os.read(parent_fd, 1024):
            loop.remove_reader(parent_fd)
            if not hub.session.draining:
                asked()

    for number in SIGNALS:
        loop.add_signal_handler(number, asked)
    if parent_fd is not None:
        os.set_blocking(parent_fd, False)
        loop.add_reader(parent_fd, parent_spoke)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        if parent_fd is not None:
            loop.remove_reader(parent_fd)
