"""A part of a run's time, as its address asks for it: seconds from the run's beginning, which stay the same while it goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from headway_control_plane.projections.tasks import Span
from headway_control_plane.ui.views.axis import Axis

_SECONDS = re.compile(r"-?\d{1,9}(\.\d{1,6})?")
_SHORTEST = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """From one second of the run to another, which is later."""

    begin: float
    end: float

    @property
    def query(self) -> str:
        """The part of an address that asks for it."""
        return query_of(timedelta(seconds=self.begin), timedelta(seconds=self.end))

    def span(self, origin: datetime) -> Span:
        """Return from when to when it is of a run that began then."""
        return Span(origin + timedelta(seconds=self.begin), origin + timedelta(seconds=self.end))


@dataclass(frozen=True, slots=True)
class Zoom:
    """What the picture shows of the whole, in seconds, and where other parts are. An empty link leads nowhere new."""

    begin: str
    end: str
    last: str
    zoomed: bool
    whole: str
    closer: str
    wider: str
    earlier: str
    later: str
    keeps: tuple[tuple[str, str], ...]  # what else the address holds


def read_window(begin: str, end: str) -> Window | None:
    """Read the two numbers of an address; what makes no sense counts as absent."""
    if not (_SECONDS.fullmatch(begin) and _SECONDS.fullmatch(end)):
        return None
    window = Window(float(begin), float(end))
    return window if window.end - window.begin > _SHORTEST.total_seconds() / 2 else None


def zoomed_axis(whole: Axis, span: Span | None) -> Axis:
    """Return the part of the axis that is asked for; one that lies beside it shows the nearest end of it."""
    if span is None:
        return whole
    start = min(max(whole.start, span.start), whole.end - _SHORTEST)
    end = max(min(whole.end, span.end), whole.start + _SHORTEST)
    return Axis(start, end, whole.zone, whole.zero)


def zoom_of(
    whole: Axis, shown: Axis, origin: datetime, path: str, keeps: Sequence[tuple[str, str]]
) -> Zoom:
    """Return the numbers and the links; `keeps` is what else the address holds."""
    base = f"{path}?{urlencode(keeps)}"
    length = shown.length
    quarter, half = length / 4, length / 2
    last = whole.end - origin

    def part(start: datetime, end: datetime) -> str:
        start, end = max(start, whole.start), min(end, whole.end)
        if (start, end) == (shown.start, shown.end) or end - start < _SHORTEST:
            return ""
        if (start, end) == (whole.start, whole.end):
            return f"{base}#timeline"
        return f"{base}{query_of(start - origin, end - origin)}#timeline"

    before = min(half, shown.start - whole.start)
    behind = min(half, whole.end - shown.end)
    return Zoom(
        begin=seconds(shown.start - origin),
        end=seconds(shown.end - origin),
        last=seconds(last),
        zoomed=shown != whole,
        whole=f"{base}#timeline" if shown != whole else "",
        closer=part(shown.start + quarter, shown.end - quarter),
        wider=part(shown.start - half, shown.end + half),
        earlier=part(shown.start - before, shown.end - before) if before else "",
        later=part(shown.start + behind, shown.end + behind) if behind else "",
        keeps=tuple(keeps),
    )


def query_of(begin: timedelta, end: timedelta) -> str:
    """Return the part of an address that asks for a window."""
    return f"&from={seconds(begin)}&to={seconds(end)}"


def seconds(length: timedelta) -> str:
    """Write seconds as an address and a form hold them, to the millisecond."""
    return f"{length.total_seconds():.3f}".rstrip("0").rstrip(".")
