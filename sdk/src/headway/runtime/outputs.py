"""The side outputs of one attempt on their way into frames: once over all attempts, and no faster than pages can follow."""

from __future__ import annotations

import hashlib
import logging
import math
import threading
from dataclasses import dataclass, field
from typing import Any

from headway.artifacts import ArtifactSpec, as_text
from headway.context import Call
from headway.digests import ROOT, call_key
from headway.errors import OutputRefused, VariableRefused
from headway.events import EventSpec
from headway.runtime.journal import Journal
from headway.runtime.pace import REAL, Pace
from headway.runtime.reporter import Reporter
from headway.variables import VariableSpec, take_in

MOST_SERIES = 100
MOST_POINTS = 512
"""Points of a metric that are held for the next batch; more are thinned out."""
EVERY_S = 0.25
"""How often what moves is told."""
_MOST_FRAME = 900 * 1024

_log = logging.getLogger("headway")


@dataclass(slots=True)
class _Moving:
    """A progress: its frame as last told, and the value that was not told yet."""

    frame: dict[str, Any]
    told_at: float
    reached: float
    """Up to where an earlier attempt told it; what a new one repeats of that is not told again."""
    pending: float | None = None


@dataclass(slots=True)
class _Series:
    """The points of one metric in one try of a call. `count`: so many were recorded, of which `known` in earlier attempts."""

    call: str
    id: str
    name: str
    unit: str
    known: int
    count: int = 0
    stepped: bool | None = None
    first: int = 0
    points: list[tuple[float, int, int]] = field(default_factory=list)

    def add(self, point: tuple[float, int, int]) -> None:
        if math.isfinite(point[0]):
            self.points.append(point)
            if len(self.points) >= MOST_POINTS:
                self.points = thinned(self.points)


class Outputs:
    """Artifacts, metrics, events and written variables of an attempt. Any thread calls it."""

    unheard = False
    """An earlier attempt was lost: what it wrote last may have come too late."""
    not_settable = ""
    """Why variables cannot be set here; empty: they can."""

    def __init__(self, journal: Journal, report: Reporter, origin: str, pace: Pace) -> None:
        self._journal = journal
        self._report = report
        self._origin = origin
        self._pace = pace
        self.forget()

    def forget(self) -> None:
        """In a fork of the flow's process: what waits to be told is the parent's to tell."""
        self._lock = threading.RLock()
        self._moving: dict[str, _Moving] = {}
        self._series: dict[tuple[str, int, str], _Series] = {}
        self._names: set[str] = set()
        self._timer: threading.Timer | None = None

    def save(self, call: Call, spec: ArtifactSpec) -> str:
        """Gives the artifact's id."""
        digest = hashlib.sha256(spec.content).hexdigest() if spec.content else ""
        identity = f"{spec.media_type}\0{spec.description}\0{digest}"
        output = self._id(call, f"artifact {spec.kind} {spec.key}", identity)
        frame = self._frame("artifact.saved", call, output)
        frame |= {"kind": spec.kind, "key": spec.key, "media_type": spec.media_type}
        frame |= {"description": spec.description, "size": len(spec.content)}
        if spec.content:
            frame["data"] = _checked(spec)
            frame["digest"] = digest
        told = self._journal.told(output)
        if spec.percent is not None:
            frame["percent"] = spec.percent
            reached = -1.0 if told is None else told.percent
            with self._lock:
                self._moving[output] = _Moving(frame, self._pace.monotonic(), reached)
        if told is None:
            self._report.tell(frame)
        return output

    def move(self, output: str, percent: float) -> None:
        """Of a progress: now, if it was not told of a moment ago; else soon."""
        with self._lock:
            moving = self._moving.get(output)
            if moving is None or percent <= moving.reached:
                return
            moving.reached = -1.0
            moving.pending = percent
            if self._pace.monotonic() - moving.told_at >= EVERY_S or percent == 100:
                self._tell_progress(moving)
            else:
                self._soon()

    def record(self, call: Call, name: str, unit: str, value: float, step: int | None) -> None:
        """One point."""
        with self._lock:
            series = self._series_of(call, name, unit)
            if series.stepped is None:
                series.stepped = step is not None
            elif series.stepped is not (step is not None):
                raise OutputRefused(
                    f"the metric {name!r} has a step at some points and not at others"
                )
            series.count += 1
            if series.count <= series.known:
                series.first = series.count
                return
            series.add((value, self._report.clock(), step or 0))
            self._soon()

    def emit(self, call: Call, spec: EventSpec) -> None:
        """An event, at once."""
        self._report.refuse_secrets("an event's name or key", spec.name, spec.key)
        output = self._id(call, f"event {spec.name}", f"{spec.key}\0{spec.value}")
        if self._journal.told(output) is not None:
            return
        frame = self._frame("event.emitted", call, output)
        frame |= {"name": spec.name, "key": spec.key, "topic": spec.topic}
        if spec.value:
            frame["data"] = spec.value
        self._report.tell(frame)

    def write(self, call: Call, spec: VariableSpec) -> None:
        """A variable, at once."""
        if self.not_settable:
            raise VariableRefused(f"the variable {spec.name!r} cannot be set: {self.not_settable}")
        self._report.refuse_secrets("a variable", spec.name, spec.data, *(spec.tags or ()))
        # A flow's body comes here again with what it has read since, a counter for one: its write is known by its place. A task
        # is executed again as a whole.
        output = self._id(call, f"variable {spec.name}", "" if call.may_wait else repr(spec[1:]))
        if self._journal.told(output) is not None and not self.unheard:
            return  # carried out before this attempt was given the variables
        frame = self._frame("variable.written", call, output) | {"name": spec.name}
        if spec.data:
            frame["data"] = spec.data
        if spec.tags is not None:
            frame["tags"] = list(spec.tags)
        if spec.expected_version is not None:
            frame["expected_version"] = spec.expected_version
        self._report.tell(frame)
        take_in(spec)

    def flush(self) -> None:
        """Tells what waits."""
        with self._lock:
            self._timer = None
            for moving in self._moving.values():
                self._tell_progress(moving)
            for series in self._series.values():
                self._tell_points(series)

    def settle(self, call: Call) -> None:
        """Tells what waits of a call that is about to end: once its end is told, it is not executed again."""
        if not self._moving and not self._series:
            return
        with self._lock:
            for output, moving in list(self._moving.items()):
                if moving.frame["call"] == call.key:
                    self._tell_progress(self._moving.pop(output))
            for key in [key for key in self._series if key[0] == call.key]:
                self._tell_points(self._series.pop(key))

    def _soon(self) -> None:
        # In a test's time nothing passes by itself: what waits is told at the end.
        if self._timer is None and self._pace is REAL:
            self._timer = threading.Timer(EVERY_S, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def _tell_progress(self, moving: _Moving) -> None:
        if moving.pending is None:
            return
        moving.frame = moving.frame | {"at_us": self._report.clock(), "percent": moving.pending}
        moving.pending = None
        moving.told_at = self._pace.monotonic()
        self._report.tell(moving.frame)

    def _series_of(self, call: Call, name: str, unit: str) -> _Series:
        found = self._series.get((call.key, call.try_number, name))
        if found is not None:
            return found
        if name not in self._names and len(self._names) >= MOST_SERIES:
            raise OutputRefused(
                f"a run records at most {MOST_SERIES} metrics: give {name!r} one of the names it has, or record fewer"
            )
        self._names.add(name)
        output = call_key(self._origin, "metric", name, 0)
        # A task is executed again as a whole, a flow's body goes on where the journal ends.
        known = (
            self._journal.points(call.key, output) if call.may_wait and call.try_number == 1 else 0
        )
        series = _Series(call.key, output, name, unit, known)
        self._series[call.key, call.try_number, name] = series
        return series

    def _tell_points(self, series: _Series) -> None:
        recorded = series.count - series.first
        if recorded <= 0:
            return
        frame: dict[str, Any] = {
            "type": "metrics.recorded",
            "at_us": self._report.clock(),
            "series": series.id,
            "call": series.call,
            "name": series.name,
            "unit": series.unit,
            "first": series.first,
            "recorded": recorded,
            "values": [point[0] for point in series.points],
            "times": [point[1] for point in series.points],
        }
        if series.stepped:
            frame["steps"] = [point[2] for point in series.points]
        series.first, series.points = series.count, []
        self._report.tell(frame)

    def _id(self, call: Call, name: str, identity: str) -> str:
        digest = hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()
        above = self._origin if call.key == ROOT else call.key
        return call_key(above, name, digest, call.next_ordinal(name, digest))

    def _frame(self, kind: str, call: Call, output: str) -> dict[str, Any]:
        return {"type": kind, "at_us": self._report.clock(), "id": output, "call": call.key}


def thinned(points: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """Half of the points: of each four the smallest and the largest, in their order; the last one stays."""
    kept: list[tuple[float, int, int]] = []
    for start in range(0, len(points) - 1, 4):
        four = points[start : min(start + 4, len(points) - 1)]
        low, high = min(four), max(four)
        kept += [low] if low is high else sorted((low, high), key=four.index)
    return [*kept, points[-1]]


def _checked(spec: ArtifactSpec) -> str:
    """Control characters take six bytes each in a frame."""
    text = as_text(spec)
    if len(text) * 6 > _MOST_FRAME and sum(6 if c < " " else 3 for c in text) > _MOST_FRAME:
        raise OutputRefused(
            f"this {spec.kind} is too large to be sent for its many control characters: remove them"
        )
    return text
