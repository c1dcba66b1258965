"""Words and numbers as the terminal shows them. Pure, so that pipes and tests get the same."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

GLYPHS: Mapping[str, str] = {
    "scheduled": "◌",
    "pending": "◔",
    "running": "◐",
    "paused": "‖",
    "cancelling": "⊖",
    "completed": "✓",
    "failed": "✕",
    "crashed": "⚡",
    "cancelled": "⊘",
    "retrying": "↻",
    "skipped": "↷",
    "interrupted": "✕",
}
STYLES: Mapping[str, str] = {
    "scheduled": "blue",
    "pending": "yellow",
    "running": "cyan",
    "paused": "magenta",
    "cancelling": "yellow",
    "completed": "green",
    "failed": "red",
    "crashed": "bright_red",
    "cancelled": "bright_black",
    "retrying": "yellow",
    "skipped": "green",
    "interrupted": "red",
    "connected": "green",
    "lost": "red",
    "offline": "bright_black",
    "revoked": "bright_black",
}
CALL_STATES = (
    "running", "retrying", "paused", "completed", "failed", "cancelled", "skipped", "interrupted",
)  # fmt: skip
"""What a call of a task or a sub-flow can be asked for by."""


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def duration(microseconds: int | None) -> str:
    """`340 µs`, `840 ms`, `4.2 s`, `4 m 12 s`, `3 h 05 m`, `2 d 04 h`; `-` when there is none."""
    if microseconds is None:
        return "-"
    if 0 < microseconds < 1000:
        return f"{microseconds} µs"
    milliseconds = microseconds // 1000
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours} h {minutes:02} m" if hours else f"{minutes} m {seconds:02} s"


def age(text: str | None, now: datetime) -> str:
    """How long ago, or in how long; absolute beyond a day."""
    if text is None:
        return "-"
    at = parse_time(text)
    seconds = (now - at).total_seconds()
    if abs(seconds) >= 86_400:
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    if abs(seconds) < 1:
        return "now"
    span = duration(int(abs(seconds)) * 1_000_000).replace(".0 s", " s")
    return f"{span} ago" if seconds > 0 else f"in {span}"


def clock(text: str | None) -> str:
    """The time of day in UTC, to the millisecond."""
    return f"{parse_time(text).astimezone(UTC):%H:%M:%S.%f}"[:-3] if text else " " * 12


def tasks(sums: Mapping[str, int]) -> str:
    """`29/33`, with what failed."""
    if not sums["total"]:
        return "-"
    done = sums["completed"] + sums["skipped"]
    failed = f" ✕{sums['failed']}" if sums["failed"] else ""
    return f"{done}/{sums['total']}{failed}"


def path_part(text: str) -> str:
    """A word as one part of a path."""
    return quote(text, safe="")


def printable(text: str) -> str:
    """Text of users and their flows, without what would steer the terminal."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Align rows for a pipe: padded with blanks, two between columns, nothing at the end."""
    listed = [list(row) for row in rows]
    if not listed:
        return []
    widths = [max(len(row[n]) for row in listed) for n in range(len(listed[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in listed
    ]


def event_line(event: Mapping[str, Any]) -> str:
    """One event of the log on one line."""
    stream = str(event["stream"])
    return f"{event['cursor']:>9}  {clock(event['recorded_at'])}  {event['type']:<20} {_short(stream)}  {printable(event['summary'])}".rstrip()


def _short(stream: str) -> str:
    """`run/0199-...-7e55` keeps the part of the id that tells it from its neighbours."""
    kind, _, rest = stream.partition("/")
    stream_id, slash, fence = rest.partition("/")
    return f"{kind}/…{stream_id[-12:]}{slash}{fence}"
