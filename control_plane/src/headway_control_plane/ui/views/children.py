"""Runs that a run has asked for: on its timeline, in its list of tasks, among its facts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from headway_control_plane.projections.children import ChildRun
from headway_control_plane.projections.tasks import Task
from headway_control_plane.ui import words
from headway_control_plane.ui.views.axis import Axis
from headway_control_plane.ui.views.lanes import WITHHELD
from headway_control_plane.ui.views.parts import Fact, link
from headway_control_plane.ui.views.run_page import TaskRow
from headway_control_plane.ui.views.timeline import Lane, bar
from headway_control_plane.ui.views.until import Until

CHILDREN_SHOWN = 10
Children = Mapping[bytes, ChildRun]


def asking(tasks: Iterable[Task]) -> list[bytes]:
    """Return the calls that may have asked for a run: neither tasks nor flows."""
    return [task.call for task in tasks if not task.kind]


def child_words(child: ChildRun) -> str:
    """Say what has become of a run that was asked for."""
    if child.run is not None:
        return f"run {words.short_id(str(child.run))} {child.state}"
    if child.refused:
        return f"no run: {child.why or child.refused.replace('_', ' ')}"
    return "its run is not made yet"


def child_href(child: ChildRun) -> str:
    return f"/runs/{child.run}" if child.run is not None else ""


def lanes_with_children(lanes: Sequence[Lane], children: Children) -> list[Lane]:
    """Lead from the row of each call that asked for a run to that run."""
    by_key = {call.hex(): child for call, child in children.items()}
    return [_lane_of_call(lane, by_key[lane.key]) if lane.key in by_key else lane for lane in lanes]


def _lane_of_call(lane: Lane, child: ChildRun) -> Lane:
    note = f"{lane.note} · {child_words(child)}"
    title = f"{lane.title} · {child_words(child)}"
    return replace(lane, note=note, title=title, href=child_href(child) or lane.href)


def waiting_lanes(
    children: Children, drawn: Collection[bytes], axis: Axis, until: Until, *, over: bool
) -> list[Lane]:
    """Return rows of the newest runs asked for by calls that have none: a call is told of when it ends. `over`: also of those
    whose end is known.
    """
    return [
        _lane(child, axis, until)
        for call, child in children.items()
        if child.is_new and call not in drawn and (over or not child.is_over)
    ]


def _lane(child: ChildRun, axis: Axis, until: Until) -> Lane:
    state = _state(child)
    name = child.deployment or WITHHELD
    end = child.ended_at or (child.requested_at if child.refused else until.now)
    return Lane(
        key=child.call.hex(),
        label=name,
        state=state,
        icon=state,
        title=f"{name}: {child_words(child)}",
        note=child_words(child),
        href=child_href(child),
        shapes=(bar(axis, child.requested_at, end, f"bar is-{state}", child_words(child)),),
    )


def _state(child: ChildRun) -> str:
    if child.state is not None:
        return child.state
    return "failed" if child.refused else "scheduled"


def rows_with_children(rows: Sequence[TaskRow], children: Children) -> list[TaskRow]:
    """The same for the list of tasks."""
    found = []
    for row in rows:
        child = children.get(bytes.fromhex(row.key)) if row.calls == 1 else None
        if child is not None:
            href = child_href(child) or row.href
            note = f"{row.note}: {child_words(child)}" if row.note else child_words(child)
            row = replace(row, href=href, note=note)  # noqa: PLW2901 - the same line, told in full
        found.append(row)
    return found


def child_facts(run: str, children: Children) -> list[Fact]:
    """Name the newest runs that were asked for, the newest first, and lead to all."""
    newest = [child for child in children.values() if child.is_new][::-1]
    facts = [
        Fact(
            "started" if child.run is not None else "asked for",
            f"{child.deployment or WITHHELD}: {child_words(child)}",
            href=child_href(child) or None,
        )
        for child in newest[:CHILDREN_SHOWN]
    ]
    if len(newest) > CHILDREN_SHOWN:
        facts.append(Fact("started", "all of them", href=link("/runs", {"q": f"parent:{run}"})))
    return facts
