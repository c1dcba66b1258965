"""What a benchmark says: figures, each beside a yardstick of the same run, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """In the figure's unit, or as a ratio to the yardstick (`of_yardstick`)."""

    value: float
    at_least: bool = False
    of_yardstick: bool = False

    def __str__(self) -> str:
        bound = ">=" if self.at_least else "<="
        return f"{bound} {self.value:.0%}" if self.of_yardstick else f"{bound} {number(self.value)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `value` is the median or the rate, `judged` what the goal is about when that is another."""

    what: str
    unit: str
    value: float
    p95: float | None = None
    yardstick: float | None = None
    yardstick_is: str = ""
    goal: Goal | None = None
    judged: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.yardstick if self.yardstick else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.goal is None:
            return None
        value = self.value if self.judged is None else self.judged
        if self.goal.of_yardstick:
            if not self.yardstick:
                return None
            value /= self.yardstick
        return value >= self.goal.value if self.goal.at_least else value <= self.goal.value

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"ratio": self.ratio, "met": self.met}


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def timed(what: str, values: Sequence[float], unit: str = "ms", **more) -> Figure:
    """A figure of durations: median and 95th percentile."""
    return Figure(what, unit, percentile(values, 0.5), percentile(values, 0.95), **more)


def number(value: float) -> str:
    if value and abs(value) < 0.1:
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


_HEADER = ("figure", "value", "p95", "unit", "yardstick", "", "ratio", "goal", "")


def table(figures: Sequence[Figure]) -> str:
    rows = [_HEADER, *map(_row, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row, figure in zip(rows, (None, *figures), strict=True):
        cells = [
            cell.rjust(width) if n in _NUMBERS else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
        if figure is not None and figure.note:
            lines.append(f"      {figure.note}")
    return "\n".join(lines)


_NUMBERS = {1, 2, 4, 6}


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.what,
        number(figure.value),
        "" if figure.p95 is None else number(figure.p95),
        figure.unit,
        "" if figure.yardstick is None else number(figure.yardstick),
        figure.yardstick_is,
        "" if figure.ratio is None else f"{figure.ratio:.3g}",
        "" if figure.goal is None else str(figure.goal),
        {True: "met", False: "MISSED", None: ""}[figure.met],
    )
