"""How the UI writes times, durations, numbers and states. Pure; the same in every page, and app.js follows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headway_control_plane.ui.zones import UTC_ZONE, Zone

MANY = 10_000
_SKIPPED = {"cached": "from the cache", "target": "what it makes is there"}


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant for a `<time>` element, and when it is looked at. How it reads depends on the reader's zone."""

    at: datetime
    now: datetime

    @property
    def iso(self) -> str:
        """For machines, in UTC whatever the reader sees."""
        at = self.at.astimezone(UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"

    def text(self, zone: Zone) -> str:
        """In short: relative within 24 hours, absolute beyond."""
        distance = self.now - self.at
        if abs(distance) >= timedelta(hours=24):
            return date(self.at, self.now, zone)
        short = age(distance)
        if short == "now":
            return short
        return f"{short} ago" if distance >= timedelta() else f"in {short}"

    def title(self, zone: Zone) -> str:
        """In full; of another zone than UTC in both."""
        return full(self.at, zone)


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
    """Return an instant as it is looked at now."""
    return Moment(at, now)


def date(at: datetime, now: datetime, zone: Zone) -> str:
    """Write an instant without its seconds; one of another year without the time of day."""
    there = at.astimezone(zone.info)
    same_year = there.year == now.astimezone(zone.info).year
    return f"{there.day} {there:%b %H:%M}" if same_year else f"{there.day} {there:%b %Y}"


def full(at: datetime, zone: Zone) -> str:
    """Write an instant with date, milliseconds and zone; of another zone than UTC a second line says it in UTC."""
    there = at.astimezone(zone.info)
    text = f"{there:%Y-%m-%d %H:%M:%S}.{there.microsecond // 1000:03} {zone.label(at)}"
    return text if zone.is_utc else f"{text} {zone.name}\n{full(at, UTC_ZONE)}"


def clock_time(at: datetime, zone: Zone, *, milliseconds: bool = True) -> str:
    """Write the time of day, for rows whose date is said elsewhere."""
    at = at.astimezone(zone.info)
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
