"""Lines in a run's log about what the user will want to know, and that ends no flow."""

from __future__ import annotations

import logging
import threading
from typing import Any

from headway.pool import Worker
from headway.sources import Limits, code_hash

_HASHED = Limits(entries=500, size=2 << 20)
"""A few milliseconds of reading; of larger trees the start says nothing."""

_log = logging.getLogger("headway")


def warn_of_other_code(start: dict[str, Any]) -> None:
    """The files have changed since `headway deploy` looked at them."""
    deployed = start.get("code_hash")
    if not deployed:
        return
    try:
        present = code_hash(start["entrypoint"], start["root"], _HASHED)
    except OSError:
        return  # a file that cannot be read: if the flow needs it, its import says so
    if present is not None and present != deployed:
        _log.warning(
            "this attempt executes other code (%s) than was deployed (%s): run `headway deploy` to record it",
            present[:12],
            deployed[:12],
        )


def warn_of_threads() -> None:
    """Threads of the user's that are still there when the flow is over end with the process, whatever they do.

    Those of plain calls (a module may call a task while it is imported) are ours, and have nothing left to do.
    """
    left = [
        thread.name
        for thread in threading.enumerate()
        if not thread.daemon
        and thread is not threading.current_thread()
        and not isinstance(thread, Worker)
    ]
    if left:
        _log.warning(
            "the flow has returned while threads still run (%s); they end with it now: join them, or shut their executor down",
            ", ".join(left[:10]),
        )


def log_chain(error: BaseException) -> None:
    """The run shows the error alone. What it was raised from, or holds, stands in the log."""
    context = None if error.__suppress_context__ else error.__context__
    if error.__cause__ or context or isinstance(error, BaseExceptionGroup):
        _log.error("the flow failed, and this is how it came to it:", exc_info=error)
