"""A metric as a small line chart: an SVG path of whole numbers, and the words that say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from headway_control_plane.projections.metrics import Point, Series

WIDTH = 600
HEIGHT = 120
POINTS = 400


@dataclass(frozen=True, slots=True)
class Chart:
    """`path` lies in a box of WIDTH to HEIGHT. `withheld`: there is nothing to draw, for the pool kept it."""

    name: str
    unit: str
    path: str
    alone: tuple[int, int] | None
    newest: str
    lowest: str
    highest: str
    begin: str | datetime  # a step, or when
    end: str | datetime
    note: str
    withheld: bool


def chart_of(series: Series, points: Sequence[Point]) -> Chart:
    """Draw a metric over its steps, or over time where it has none."""
    places = _places(series, points)
    first, last = (points[0], points[-1]) if points else (None, None)
    return Chart(
        name=series.name or "(name withheld)",
        unit=series.unit,
        path="M" + "L".join(f"{x} {y}" for x, y in places) if len(places) > 1 else "",
        alone=places[0] if len(places) == 1 else None,
        newest=number(series.newest),
        lowest=number(series.lowest),
        highest=number(series.highest),
        begin=_place(series, first),
        end=_place(series, last),
        note=_note(series),
        withheld=series.withheld,
    )


def number(value: float | None) -> str:
    """Write a number in at most six digits."""
    return "" if value is None else f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def _places(series: Series, points: Sequence[Point]) -> list[tuple[int, int]]:
    if not points:
        return []
    across = [point.step if series.stepped else point.at_us for point in points]
    low, high = min(p.value for p in points), max(p.value for p in points)
    left, right = min(across), max(across)
    return [
        (_scaled(x, left, right, WIDTH), HEIGHT - _scaled(point.value, low, high, HEIGHT))
        for x, point in zip(across, points, strict=True)
    ]


def _scaled(value: float, low: float, high: float, size: int) -> int:
    """In the middle where all are equal. Halved first: the span of two doubles can be more than one holds."""
    span = high / 2 - low / 2
    return round((value / 2 - low / 2) / span * size) if span > 0 else size // 2


def _place(series: Series, point: Point | None) -> str | datetime:
    if point is None:
        return ""
    if series.stepped:
        return f"step {point.step:,}"
    return datetime.fromtimestamp(point.at_us / 1e6, UTC)


def _note(series: Series) -> str:
    if series.kept >= series.recorded:
        return f"{series.recorded:,} recorded"
    return f"{series.recorded:,} recorded, the {series.kept:,} that tell most are kept"
