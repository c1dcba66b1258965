"""The picture of a run: attempts, waits, tasks, retries, sub-flows, groups of many equal names, on one time axis.

Rows are 24 px high and stand in three columns: a name, a strip of shapes, a note. Shapes are placed in percent, so that the
picture needs no script and no inline style to fit any width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headway_control_plane.projections.attempts import AttemptView
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.ui.views.axis import Axis, Tick, make_axis, percent
from headway_control_plane.ui.views.zoom import Zoom
from headway_control_plane.ui.words import clock_time, duration
from headway_control_plane.ui.zones import UTC_ZONE, Zone

ROW_HEIGHT = 24
MAX_ATTEMPT_LANES = 8
# A bar of no length is still seen: 0.3 % of 800 px are 2.4 px.
_THINNEST = 0.3
# A wait before the first attempt may take at most this part of the picture; a longer one is said in words.
_LONGEST_LEAD = 0.25


@dataclass(frozen=True, slots=True)
class Shape:
    """A bar: place and width in percent, height and offset within its row in pixels, a class, a hint."""

    x: str
    width: str
    css: str
    title: str = ""
    top: int = 5
    height: int = 14


@dataclass(frozen=True, slots=True)
class Area:
    """How many calls of a group ran at once: a path over `columns` by 16, and the columns where calls failed."""

    columns: int
    path: str
    css: str
    failures: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Lane:
    """A row. `key` names it in the URL."""

    key: str
    label: str
    state: str
    icon: str
    title: str
    note: str = ""
    href: str = ""
    depth: int = 0
    shapes: tuple[Shape, ...] = ()
    area: Area | None = None
    selected: bool = False
    members: int = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """All rows. `now` is where the present lies, None for a run that has ended."""

    ticks: Sequence[Tick]
    attempts: Sequence[Lane]
    lanes: Sequence[Lane]
    now: str | None
    head: str = ""
    lead: str = ""
    folded: str = ""
    zoom: Zoom | None = None

    @property
    def height(self) -> int:
        return ROW_HEIGHT * (1 + len(self.attempts) + len(self.lanes))


def run_axis(
    run: RunView, attempts: Sequence[AttemptView], now: datetime, zone: Zone = UTC_ZONE
) -> Axis:
    """Return the axis of a run: from when it could have started to its end, or to now."""
    end = run.ended_at or max(now, run.due_at)
    if not attempts:
        return make_axis(min(run.due_at, end), end, zone)
    granted = attempts[0].granted_at
    longest = max((end - granted) * _LONGEST_LEAD, timedelta(milliseconds=50))
    axis = make_axis(max(min(run.due_at, granted), granted - longest), end, zone)
    return replace(axis, origin=run_origin(run, attempts))


def run_origin(run: RunView, attempts: Sequence[AttemptView]) -> datetime:
    """Return from where a run's seconds count: its first grant, as far as that is known, which stays where it is."""
    first = attempts[0] if attempts else None
    return first.granted_at if first is not None and first.fence == 1 else run.created_at


def lead_words(run: RunView, attempts: Sequence[AttemptView], axis: Axis) -> str:
    """Say how long the run waited before what the picture shows."""
    if not attempts or run.due_at >= axis.start - timedelta(milliseconds=1):
        return ""
    return f"queued {duration(attempts[0].granted_at - run.due_at)} before its first attempt; the picture shows the end of that"


def bar(axis: Axis, start: datetime, end: datetime, css: str, title: str = "") -> Shape:
    """Return a bar from one instant to another; of no width, which is not drawn, where the picture does not reach."""
    if end < axis.start or start > axis.end:
        return Shape("0%", "0%", css, title)
    left, right = axis.place(start), axis.place(end)
    width = max(right - left, _THINNEST)
    return Shape(percent(min(left, 100 - width)), percent(width), css, title)


def attempt_lanes(
    run: RunView,
    attempts: Sequence[AttemptView],
    axis: Axis,
    now: datetime,
    selected: int,
) -> list[Lane]:
    """Return a row for each of the newest attempts: the wait before it, its start, its work."""
    lanes = []
    ready = run.due_at
    for attempt in attempts:
        lanes.append(_attempt_lane(run, attempt, axis, ready, now, selected))
        ready = attempt.ended_at or now
    if not run.is_terminal and (not attempts or attempts[-1].ended_at is not None):
        lanes.append(_waiting_lane(run, axis, ready, now))
    return lanes[-MAX_ATTEMPT_LANES:]


def _attempt_lane(
    run: RunView,
    attempt: AttemptView,
    axis: Axis,
    ready: datetime,
    now: datetime,
    selected: int,
) -> Lane:
    state = attempt_state(attempt)
    end = attempt.ended_at or now
    shapes = [_wait(axis, ready, attempt.granted_at, "waited for an agent")]
    began = attempt.started_at or end
    title = f"starting {duration(began - attempt.granted_at)}"
    shapes.append(bar(axis, attempt.granted_at, began, "bar is-pending", title))
    if attempt.started_at is not None:
        ran = f"{state} {duration(end - attempt.started_at)}"
        shapes.append(bar(axis, attempt.started_at, end, f"bar is-{state}", ran))
    agent = attempt.agent_name or "unknown agent"
    return Lane(
        key=f"attempt-{attempt.fence}",
        label=f"#{attempt.fence} on {agent}",
        state=state,
        icon=state,
        title=f"attempt {attempt.fence} on {agent}: {attempt.outcome or attempt.status}, {duration(end - attempt.granted_at)}",
        note=f"{attempt_words(attempt)} · {duration(end - (attempt.started_at or attempt.granted_at))}",
        href=f"/runs/{run.id}?attempt={attempt.fence}",
        shapes=tuple(shape for shape in shapes if shape is not None),
        selected=attempt.fence == selected and len({attempt.fence, run.fence}) > 1,
    )


def _waiting_lane(run: RunView, axis: Axis, ready: datetime, now: datetime) -> Lane:
    number = run.fence + 1
    wait = _wait(axis, ready, now, run.reason.text)
    return Lane(
        key="waiting",
        label=f"#{number} waits",
        state=run.state,
        icon=run.state,
        title=run.reason.text,
        note=run.reason.text,
        shapes=(wait,) if wait else (),
    )


def _wait(axis: Axis, start: datetime, end: datetime, why: str) -> Shape | None:
    if end <= start:
        return None
    return bar(axis, start, end, "wait", f"{why} {duration(end - start)}")


def attempt_state(attempt: AttemptView) -> str:
    """Return the state whose colour and sign an attempt bears."""
    if attempt.ended_at is None:
        return "running" if attempt.started_at else "pending"
    if attempt.outcome == "suspended":
        return "paused"  # it ended as it should, and goes on in the next attempt
    known = {"completed", "failed", "crashed", "cancelled"}
    return attempt.outcome if attempt.outcome in known else "crashed"


def attempt_words(attempt: AttemptView) -> str:
    """Return how an attempt stands, in a word or two."""
    if attempt.ended_at is None:
        return "running" if attempt.started_at else "starting"
    return attempt.outcome


def call_shapes(
    axis: Axis,
    start: datetime,
    end: datetime,
    status: str,
    retries: Iterable[tuple[datetime, int, str]],
    *,
    waits_until: datetime | None = None,
) -> tuple[Shape, ...]:
    """Return a call's tries and the waits between them. A retry is when a try failed, the delay in µs, and why.

    `waits_until`: from its end on it waits until then, with its run.
    """
    shapes: list[Shape] = []
    began = start
    for failed_at, delay_us, why in sorted(retries):
        again = min(failed_at + timedelta(microseconds=delay_us), end)
        shapes.append(
            bar(
                axis,
                began,
                failed_at,
                "bar is-failed",
                f"failed: {why or 'error'} at {clock_time(failed_at, axis.zone)}",
            )
        )
        waited = _wait(axis, failed_at, again, "waited to retry")
        shapes.extend([waited] if waited else [])
        began = again
    title = f"{status} {duration(end - began)}"
    css = "bar is-" + ("running" if status == "retrying" else status)
    if began < end or not shapes or status != "retrying":
        shapes.append(bar(axis, began, end, css, title))
    with_run = _wait(axis, end, waits_until or end, "waited with its run")
    return tuple([*shapes, with_run] if with_run else shapes)
