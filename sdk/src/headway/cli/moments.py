"""Instants as people write them."""

import re
from datetime import UTC, datetime, timedelta

import click

from headway.clock import now_us

_AGO = re.compile(r"(\d+)\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def now() -> datetime:
    return datetime.fromtimestamp(now_us() / 1_000_000, UTC)


def instant(text: str | None) -> str | None:
    """Read `24h` as that long ago, else ISO 8601; without a zone it is UTC."""
    if not text:
        return None
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return (now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither an instant (2026-11-22T08:00Z) nor a time ago (30m, 24h, 7d)"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
