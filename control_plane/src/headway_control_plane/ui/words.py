"""How the UI writes times, durations, numbers and states. Pure; the same in every page, and app.js follows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MANY = 10_000
_SKIPPED = {"cached": "from the cache", "target": "what it makes is there"}


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant for a `<time>` element: for machines, in short, in full."""

    iso: str
    text: str
    title: str


def duration(length: timedelta) -> str:
    """Write a duration: 340 µs, 840 ms, 4.2 s, 4 m 12 s, 3 h 05 m, 2 d 4 h."""
    if timedelta() < length < timedelta(milliseconds=1):
        return f"{length.microseconds} µs"
    milliseconds = round(max(length, timedelta()).total_seconds() * 1000)
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f} s"
    seconds = round(milliseconds / 1000)
    if seconds < 3600:
        return f"{seconds // 60} m {seconds % 60:02} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02} m"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def age(length: timedelta) -> str:
    """Write how long ago, or how soon, in one unit: now, 12 s, 3 m, 5 h."""
    seconds = int(abs(length).total_seconds())
    if seconds < 1:
        return "now"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} m"
    return f"{seconds // 3600} h"


def moment(at: datetime, now: datetime) -> Moment:
    """Write an instant: relative within 24 hours, absolute beyond."""
    at = at.astimezone(UTC)
    title = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} UTC"
    iso = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
    distance = now - at
    if abs(distance) >= timedelta(hours=24):
        same_year = at.year == now.astimezone(UTC).year
        text = f"{at.day} {at:%b %H:%M}" if same_year else f"{at.day} {at:%b %Y}"
    elif distance >= timedelta():
        short = age(distance)
        text = short if short == "now" else f"{short} ago"
    else:
        short = age(distance)
        text = short if short == "now" else f"in {short}"
    return Moment(iso, text, title)


def clock_time(at: datetime, *, milliseconds: bool = True) -> str:
    """Write the time of day, for rows whose date is said elsewhere."""
    at = at.astimezone(UTC)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03}" if milliseconds else f"{at:%H:%M:%S}"


def count(number: int, *, limit: int | None = None) -> str:
    """Write a number with thousands set apart; one that was only counted up to a limit says so."""
    if limit is not None and number > limit:
        return f"{limit:,}+"
    return f"{number:,}"


def size(number: int) -> str:
    """Write a number of bytes."""
    if number < 1024:
        return f"{number} B"
    if number < 1024 * 1024:
        return f"{number / 1024:.1f} KiB"
    return f"{number / 1024 / 1024:.1f} MiB"


def short_id(text: str) -> str:
    """Write an id so that neighbours differ: UUIDv7 share their beginning, so the end tells them apart."""
    return f"{text[:4]}…{text[-4:]}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def state_word(state: str) -> str:
    """Write a state as a label."""
    return state.capitalize()


def skipped(cause: str) -> str:
    """Return why a call was not executed."""
    return _SKIPPED.get(cause, "kept from an earlier attempt or run")
