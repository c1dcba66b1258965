"""The strip above a list of runs: how many were created when, stacked by how they stand. Each bar leads to its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections.run_starts import Bucket
from headway_control_plane.ui.words import plural
from headway_control_plane.ui.zones import UTC_ZONE, Zone, offset_of

HEIGHT = 24
WIDTH = 10
MOST_BARS = 60
_GAP = 1
_DAY = timedelta(days=1)
_STEPS = (
    timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=15), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=3), timedelta(hours=6),
    timedelta(hours=12), _DAY, 2 * _DAY, 7 * _DAY, 28 * _DAY, 91 * _DAY, 364 * _DAY,
)  # fmt: skip
_NAMES = {
    _DAY: "a day",
    2 * _DAY: "2 days",
    7 * _DAY: "a week",
    28 * _DAY: "4 weeks",
    91 * _DAY: "13 weeks",
    364 * _DAY: "52 weeks",
}
# From the ground up; what went wrong stands on top of what did not.
_STACK: Mapping[str, tuple[RunStatus, ...]] = {
    "completed": (RunStatus.COMPLETED,),
    "cancelled": (RunStatus.CANCELLED,),
    "running": (RunStatus.RUNNING, RunStatus.CANCELLING),
    "scheduled": (RunStatus.SCHEDULED, RunStatus.PENDING),
    "paused": (RunStatus.PAUSED,),
    "failed": (RunStatus.FAILED, RunStatus.CRASHED),
}
_LEAST = 2.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar, in units of the picture."""

    css: str
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The runs of one stretch of time."""

    x: int
    href: str
    title: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """All bars with runs; `width` is that of the picture in its own units."""

    width: int
    bars: Sequence[Bar]
    begin: str
    end: str
    note: str


def edges_of(start: datetime, end: datetime, zone: Zone) -> list[datetime]:
    """Return at most 61 round instants around a stretch of time, as clocks there show them, in UTC.

    A day on which a clock is set has 23 or 25 hours, and its bars are as long as it.
    """
    end = max(end, start + timedelta(minutes=1))
    step = next((s for s in _STEPS if (end - start) / s <= MOST_BARS - 2), _STEPS[-1])
    if step >= _DAY:
        return _edges_of_days(start, end, step, zone)
    if step < timedelta(minutes=15):
        # Every offset from UTC is whole quarters of an hour, so these are round there too, and a day has very many.
        first = _midnight(start, UTC_ZONE)
        first += step * ((start - first) // step)
        return [first + step * n for n in range((end - first) // step + 2)]
    every: set[datetime] = set()
    day = _midnight(start, zone)
    while day.astimezone(UTC) <= end:
        walls = [day + step * n for n in range(_DAY // step)]
        # The hour that comes twice has its edges twice; between them a step is no round number of hours.
        folds = (0, 1) if step <= timedelta(hours=1) else (0,)
        every.update(at.replace(fold=fold).astimezone(UTC) for at in walls for fold in folds)
        day += _DAY
    every.add(day.astimezone(UTC))
    return _around(sorted(every), start, end)


def _edges_of_days(start: datetime, end: datetime, step: timedelta, zone: Zone) -> list[datetime]:
    first = _midnight(start, zone)
    if step % (7 * _DAY) == timedelta():
        first -= _DAY * first.weekday()
    edges = [first]
    while edges[-1].astimezone(UTC) <= end:
        edges.append(edges[-1] + step)  # of the same zone: what the calendar shows
    return [edge.astimezone(UTC) for edge in edges]


def _midnight(at: datetime, zone: Zone) -> datetime:
    return at.astimezone(zone.info).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _around(edges: Sequence[datetime], start: datetime, end: datetime) -> list[datetime]:
    """Keep the edges from the last one at or before the start to the first one behind the end."""
    before = [edge for edge in edges if edge <= start][-1:]
    inside = [edge for edge in edges if start < edge <= end]
    return [*before, *inside, *[edge for edge in edges if edge > end][:1]]


def strip_of(
    edges: Sequence[datetime],
    buckets: Sequence[Bucket],
    zone: Zone,
    *,
    href: Callable[[datetime, datetime], str],
    more: bool,
) -> Strip | None:
    """Draw the counts; None where there is nothing. `more`: older runs were not counted."""
    most = max((sum(bucket.values()) for bucket in buckets), default=0)
    if not most:
        return None
    spans = list(pairwise(edges))
    bars = [
        Bar(n * WIDTH, href(*spans[n]), _title(*spans[n], bucket, zone), _pieces(bucket, most))
        for n, bucket in enumerate(buckets)
        if bucket
    ]
    note = f"one bar is {_length(spans)}, the highest {plural(most, 'run')}"
    if more:
        note += "; older ones are not drawn, narrow the list to see them"
    return Strip(len(buckets) * WIDTH, bars, _short(edges[0], zone), _short(edges[-1], zone), note)


def _pieces(bucket: Bucket, most: int) -> tuple[Piece, ...]:
    """Stack a bar. Whatever is there is seen, so a high bar may lose a little to a thin piece."""
    total = sum(bucket.values())
    full = max(total / most * HEIGHT, _LEAST)
    parts = {css: sum(bucket.get(state, 0) for state in states) for css, states in _STACK.items()}
    heights = {css: max(n / total * full, _LEAST) for css, n in parts.items() if n}
    scale = min(1.0, HEIGHT / sum(heights.values()))
    pieces, y = [], float(HEIGHT)
    for css, height in heights.items():
        y -= height * scale
        pieces.append(Piece(css, f"{y:.4g}", f"{height * scale:.4g}"))
    return tuple(pieces)


def _title(begin: datetime, end: datetime, bucket: Bucket, zone: Zone) -> str:
    states = [f"{bucket[state]:,} {state}" for state in RunStatus if bucket.get(state)]
    total = plural(sum(bucket.values()), "run")
    return f"{_short(begin, zone)} to {_short(end, zone)}: {total}, {', '.join(states)}"


def _short(at: datetime, zone: Zone) -> str:
    there = at.astimezone(zone.info)
    return f"{there.day} {there:%b %H:%M}" + ("" if zone.is_utc else f" {offset_of(there)}")


def _length(spans: Sequence[tuple[datetime, datetime]]) -> str:
    """Say how long a bar is: what most of them are, for the clock may be set within one."""
    lengths = sorted(end - begin for begin, end in spans)
    usual = lengths[len(lengths) // 2]
    if usual in _NAMES:
        return _NAMES[usual]
    minutes = usual // timedelta(minutes=1)
    if not minutes:
        return plural(usual // timedelta(seconds=1), "second")
    if minutes < 60:
        return plural(minutes, "minute")
    return plural(minutes // 60, "hour")
