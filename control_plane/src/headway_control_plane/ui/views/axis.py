"""The time axis of a picture: where an instant lies, in percent of the width, and which instants get a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headway_control_plane.ui.words import clock_time
from headway_control_plane.ui.zones import UTC_ZONE, Zone

_STEPS = [
    timedelta(seconds=seconds)
    for seconds in (
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30,
        60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800,
    )
]  # fmt: skip
_MOST_TICKS = 7
# A label further right would be cut off by the picture's edge; its line is drawn nevertheless.
_LAST_LABEL = 90.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the picture. `x` is percent, as SVG wants it; `css` names labels that a narrow picture has no room for."""

    x: str
    label: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """From `start` to `end`, which is always later. `origin`: from where short ones count, if not from their start."""

    start: datetime
    end: datetime
    zone: Zone = UTC_ZONE
    origin: datetime | None = None

    @property
    def zero(self) -> datetime:
        """Where a short axis counts from."""
        return self.origin or self.start

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    def place(self, at: datetime) -> float:
        """Return where an instant lies, 0 to 100, clamped to the picture."""
        return min(100.0, max(0.0, (at - self.start) / self.length * 100))

    @property
    def is_short(self) -> bool:
        """Whether labels count from the origin instead of naming the time of day."""
        return max(self.end - self.zero, self.length) < timedelta(minutes=1)

    def head(self) -> str:
        """Say what the labels mean."""
        if self.is_short:
            began = self.zero.astimezone(self.zone.info)
            return f"from {began:%H:%M:%S} {self.zone.label(self.zero)}"
        return f"times in {self.zone.name}"

    def ticks(self) -> list[Tick]:
        """Return round instants, at most seven; those of an axis under a minute are seconds from its start."""
        step = next(
            (s for s in _STEPS if self.length / s <= _MOST_TICKS), self.length / _MOST_TICKS
        )
        if self.is_short:
            first = -((self.zero - self.start) // step)
            offsets = [step * (first + n) for n in range(int(self.length / step) + 1)]
            return self._labelled([(self.zero + at, _offset(at, step)) for at in offsets])
        instants = _round_instants(self.start, step, self.zone)
        if step < timedelta(seconds=1):
            return self._labelled(
                [(at, clock_time(at, self.zone)) for at in instants if at <= self.end]
            )
        form = "%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M"
        if step >= timedelta(days=1):
            form = "%-d %b"
        return self._labelled(
            [(at, f"{at.astimezone(self.zone.info):{form}}") for at in instants if at <= self.end]
        )

    def _labelled(self, instants: Sequence[tuple[datetime, str]]) -> list[Tick]:
        """Return the ticks. On a phone the picture is 150 px wide: two labels, far apart, are what it can hold."""
        placed = [(self.place(at), label) for at, label in instants if self.place(at) < 97]
        apart = -(-len(placed) // 2)
        return [
            Tick(
                percent(place),
                label if place <= _LAST_LABEL else "",
                "" if number % apart == 0 else "spare",
            )
            for number, (place, label) in enumerate(placed)
        ]


def make_axis(start: datetime, end: datetime, zone: Zone = UTC_ZONE) -> Axis:
    """Return an axis that has a length even where nothing took any time, and a little room at its end."""
    length = max(end - start, timedelta(milliseconds=1))
    return Axis(start, start + length * 1.02, zone)


def percent(value: float) -> str:
    """Write a place for an SVG attribute."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


def _offset(at: timedelta, step: timedelta) -> str:
    if not at:
        return "0"
    if step < timedelta(seconds=1) and abs(at) < timedelta(seconds=1):
        return f"{at / timedelta(milliseconds=1):+g} ms"
    return f"{at.total_seconds():+g} s"


def _round_instants(start: datetime, step: timedelta, zone: Zone) -> list[datetime]:
    """Return instants from the first round one on, as clocks there show them. Where a clock is set, steps of less than a day go
    on as time does; those of days are midnights, 23 or 25 hours apart.
    """
    local = start.astimezone(zone.info)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if step >= timedelta(days=1):
        # Of the same zone, Python adds to what the clock shows.
        return [
            (midnight + step * n).astimezone(UTC)
            for n in range(_MOST_TICKS + 2)
            if (midnight + step * n).astimezone(UTC) >= start
        ]
    begin = midnight.astimezone(UTC)
    first = begin + step * -(-(start - begin) // step)
    return [first + step * n for n in range(_MOST_TICKS + 1)]
