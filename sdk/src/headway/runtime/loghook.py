"""Log records of the standard logging module as `log` frames."""

from __future__ import annotations

import logging

from headway.context import current_call
from headway.digests import ROOT
from headway.runtime.channel import clean
from headway.runtime.reporter import Reporter

TEXT_MAX = 64 * 1024
NAME_MAX = 200
_LEVELS = ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO"))


def level_name(number: int) -> str:
    """The standard level at or below a number; users define levels between."""
    return next((name for least, name in _LEVELS if number >= least), "DEBUG")


def cut(text: str) -> str:
    """At most 64 KiB of UTF-8, with a marker that says how much is missing."""
    raw = text.encode()
    if len(raw) <= TEXT_MAX:
        return text
    kept = raw[:TEXT_MAX].decode(errors="ignore")
    return f"{kept} ... [cut {len(raw) - len(kept.encode())} bytes]"


class FrameHandler(logging.Handler):
    """Sends each record with the call in which it was written. `report`: to whom; None: nobody listens yet."""

    def __init__(self, reporter: Reporter | None = None) -> None:
        super().__init__()
        self.report = reporter

    def emit(self, record: logging.LogRecord) -> None:
        if self.report is None:
            return
        try:
            text = cut(clean(self.format(record)))
        except Exception:  # noqa: BLE001 - wrong arguments of a log call: logging's own rule is to tell and go on
            self.handleError(record)
            return
        call = current_call()
        key = call.key if call is not None else ROOT
        self.report.log(level_name(record.levelno), key, text, clean(record.name[:NAME_MAX]))
