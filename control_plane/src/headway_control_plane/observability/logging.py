"""The process's own log: one line an event, for people or for machines."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import IO

from typing_extensions import override

# What every record has; anything else was given by the caller as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(form: str, level: str, stream: IO[str] | None = None) -> None:
    """Send all records to a stream (standard error) in one form, `text` or `json`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it greets at each look


class TextFormatter(logging.Formatter):
    """`2026-11-22T10:00:00.000Z warning log.committer: message key=value`."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        name = record.name.removeprefix("headway_control_plane.")
        line = f"{_instant(record)} {record.levelname.lower()} {name}: {record.getMessage()}"
        line += "".join(f" {key}={value}" for key, value in _extra(record).items())
        return (
            line if record.exc_info is None else f"{line}\n{self.formatException(record.exc_info)}"
        )


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info is not None:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def _instant(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
