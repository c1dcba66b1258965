"""In which time zone a reader sees times: UTC, that of the browser, or a named one. A cookie holds the choice; links do not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from starlette.requests import Request

COOKIE = "headway_zone"
BROWSER = "browser:"
_NAME = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")


@dataclass(frozen=True, slots=True)
class Zone:
    """A reader's zone. `browser`: it follows the browser's, which a script tells us."""

    name: str = "UTC"
    info: tzinfo = UTC
    browser: bool = False

    @property
    def is_utc(self) -> bool:
        return self.info is UTC

    @property
    def cookie(self) -> str:
        """How the cookie holds it; empty for UTC."""
        if self.browser:
            return BROWSER + self.name
        return "" if self.is_utc else self.name

    def label(self, at: datetime) -> str:
        """Name the zone as it stands at an instant: an hour that comes twice differs by this."""
        return offset_of(at.astimezone(self.info))


UTC_ZONE = Zone()


def offset_of(at: datetime) -> str:
    """Write how far a time is from UTC: `+02:00`, or `UTC`."""
    if at.tzinfo is UTC:
        return "UTC"
    text = f"{at:%z}"
    return f"{text[:3]}:{text[3:5]}"


def zone_of(request: Request) -> Zone:
    """Return the zone that the reader chose; a name that is none counts as no choice."""
    return read_zone(request.cookies.get(COOKIE, "")) or UTC_ZONE


def read_zone(text: str) -> Zone | None:
    """Read a choice: empty or `UTC`, `Europe/Berlin`, `browser:Europe/Berlin`; None for what is no zone."""
    browser = text.startswith(BROWSER)
    name = text.removeprefix(BROWSER).strip()
    if name in {"", "UTC", "Etc/UTC"}:
        return Zone(browser=browser)
    if not _NAME.fullmatch(name):
        return None
    try:
        return Zone(name, ZoneInfo(name), browser)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None  # no zone, or a folder of zones


@cache
def zone_names() -> tuple[str, ...]:
    """Return the zones to choose from, those of places. Looked up once: it reads a folder of files."""
    names = (name for name in available_timezones() if "/" in name)
    return tuple(sorted(name for name in names if not name.startswith(("Etc/", "SystemV/"))))
