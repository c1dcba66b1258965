"""Which rows of the picture an attempt's calls become: single calls, groups of equal names, what lies in sub-flows below them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from headway_control_plane.projections.task_fold import PAUSED
from headway_control_plane.projections.tasks import Bin, Task, TaskGroup
from headway_control_plane.ui.views.axis import Axis
from headway_control_plane.ui.views.parts import ICONS, LEFT_OPEN
from headway_control_plane.ui.views.timeline import Area, Lane, call_shapes
from headway_control_plane.ui.views.until import Until
from headway_control_plane.ui.words import duration, plural, skipped

WITHHELD = "(name withheld)"
MAX_LANES = 60
# More calls of one name than this become one row.
FOLD_FROM = 4
MAX_UNFOLDED = 200
COLUMNS = 400
_AREA_HEIGHT = 16
_MAX_DEPTH = 3


@dataclass(slots=True)
class _Node:
    """Calls whose names are the same from the top down."""

    path: tuple[str, ...]
    kind: str
    calls: list[Task] = field(default_factory=list)
    below: dict[tuple[str, str], _Node] = field(default_factory=dict)


def lanes_of_tasks(
    tasks: Sequence[Task], axis: Axis, until: Until, *, base: str, unfolded: frozenset[str]
) -> list[Lane]:
    """Return the rows of a run whose calls were all read."""
    lanes: list[Lane] = []
    for node in _tree(tasks).below.values():
        lanes.extend(_node_lanes(node, axis, until, base, unfolded))
    return lanes


def _tree(tasks: Sequence[Task]) -> _Node:
    root = _Node((), "flow")
    by_call = {task.call: task for task in tasks}
    nodes: dict[bytes, _Node] = {}

    def node_of(task: Task) -> _Node:
        found = nodes.get(task.call)
        if found is None:
            parent = by_call.get(task.parent)
            above = root if parent is None or parent is task else node_of(parent)
            key = (task.kind, task.name)
            found = above.below.setdefault(key, _Node((*above.path, task.name), task.kind))
            nodes[task.call] = found
        return found

    for task in tasks:
        node_of(task).calls.append(task)
    return root


def _node_lanes(
    node: _Node, axis: Axis, until: Until, base: str, unfolded: frozenset[str]
) -> Iterable[Lane]:
    key = lane_key(node.path)
    depth = min(len(node.path) - 1, _MAX_DEPTH)
    folded = len(node.calls) >= FOLD_FROM
    if folded:
        group = _sum_up(node, until.now)
        href = f"{base}#timeline" if key in unfolded else f"{base}&open={key}#timeline"
        bins = bin_tasks(node.calls, axis, until.now)
        yield replace(group_lane(group, bins, COLUMNS, key, href), depth=depth)
    if not folded or key in unfolded:
        inner = depth + 1 if folded else depth
        for call in node.calls[:MAX_UNFOLDED]:
            yield replace(call_lane(call, axis, until, base), depth=min(inner, _MAX_DEPTH))
    for below in node.below.values():
        yield from _node_lanes(below, axis, until, base, unfolded)


def lane_key(path: Sequence[str]) -> str:
    """Return a short name for a group that stays the same while a run goes on."""
    return hashlib.sha256("\0".join(path).encode()).hexdigest()[:10]


def call_lane(task: Task, axis: Axis, until: Until, base: str) -> Lane:
    """Return the row of one call."""
    end = until.end_of(task)
    name = task.title or WITHHELD
    note = duration(end - task.started_at)
    if task.retries:
        note += f" · {plural(len(task.retries), 'retry', 'retries')}"
    if task.error_class and task.status == "failed":
        note += f" · {task.error_class}"
    if task.status == "skipped":
        note = skipped(task.skipped_for)
    if task.status in LEFT_OPEN:
        note += f" · {LEFT_OPEN[task.status]}"
    return Lane(
        key=task.call.hex(),
        label=name,
        state=task.status,
        icon="flow" if task.kind == "flow" else ICONS.get(task.status, task.status),
        title=f"{name}: {task.status}, {note}",
        note=note,
        href=call_href(task, base),
        shapes=call_shapes(
            axis,
            task.started_at,
            end,
            task.status,
            [(retry.at, retry.delay_us, retry.error_class) for retry in task.retries],
            waits_until=until.wait_of(task),
        ),
    )


def call_href(task: Task, base: str) -> str:
    """Return where a call is looked at: a sub-flow on a page of its own, another in the log of the page `base`."""
    if task.kind != "flow":
        return f"{base}&task={task.call.hex()}#log"
    path, _, query = base.partition("?")
    run = "/".join(path.split("/")[:3])  # base may be the page of the sub-flow around it
    return f"{run}/flows/{task.call.hex()}?{query}"


def group_lane(group: TaskGroup, bins: Sequence[Bin], columns: int, key: str, href: str) -> Lane:
    """Return the row of many calls of one name."""
    name = group.name or WITHHELD
    status = _group_status(group)
    note = _group_note(group)
    return Lane(
        key=key,
        label=name,
        state=status,
        icon=ICONS.get(status, status),
        title=f"{name}: {plural(group.total, 'call')}, {note}",
        note=note,
        href=href,
        area=_area(bins, columns, status),
        members=group.total,
    )


def _group_status(group: TaskGroup) -> str:
    for number, status in (
        (group.failed, "failed"),
        (group.open, "running"),
        (group.paused, PAUSED),
        (group.interrupted, "interrupted"),
        (group.cancelled, "cancelled"),
    ):
        if number:
            return status
    return "skipped" if group.skipped == group.total else "completed"


def _group_note(group: TaskGroup) -> str:
    done = group.completed + group.skipped
    parts = [f"{done:,} ✓"] if done else []
    for number, word in (
        (group.failed, "✕"),
        (group.open, "running"),
        (group.paused, PAUSED),
        (group.cancelled, "cancelled"),
        (group.interrupted, "interrupted"),
        (group.retried, "retried"),
    ):
        if number:
            parts.append(f"{number:,} {word}")
    if group.median is not None and group.longest is not None:
        parts.append(f"p50 {duration(group.median)}, max {duration(group.longest)}")
    return " · ".join(parts)


def _sum_up(node: _Node, now: datetime) -> TaskGroup:
    calls = node.calls

    def number(*statuses: str) -> int:
        return sum(call.status in statuses for call in calls)

    executed = (call for call in calls if call.ended_at and call.status != "skipped")
    lengths = sorted(call.ended_at - call.started_at for call in executed if call.ended_at)
    return TaskGroup(
        parent=calls[0].parent,
        kind=node.kind,
        name=node.path[-1],
        total=len(calls),
        open=number("running", "retrying"),
        completed=number("completed"),
        failed=number("failed"),
        cancelled=number("cancelled"),
        skipped=number("skipped"),
        interrupted=number("interrupted"),
        paused=number(PAUSED),
        retried=sum(bool(call.retries) for call in calls),
        started_at=min(call.started_at for call in calls),
        ended_at=max(call.ended_at or now for call in calls),
        median=lengths[(len(lengths) - 1) // 2] if lengths else None,
        longest=lengths[-1] if lengths else None,
    )


def bin_tasks(
    calls: Iterable[Task], axis: Axis, now: datetime, columns: int = COLUMNS
) -> list[Bin]:
    """Return what happened in each column of the picture, as the database says it of large runs."""
    began = [0] * columns
    ended = [0] * columns
    failed = [0] * columns
    width = axis.length / columns

    def column(at: datetime) -> int:
        return min(columns - 1, max(0, (at - axis.start) // width)) if width > timedelta() else 0

    for call in calls:
        began[column(call.started_at)] += 1
        if call.ended_at is not None and call.ended_at <= now:
            ended[column(call.ended_at)] += 1
            failed[column(call.ended_at)] += call.status == "failed"
    return [Bin(n, began[n], ended[n], failed[n]) for n in range(columns) if began[n] or ended[n]]


def _area(bins: Sequence[Bin], columns: int, status: str) -> Area:
    """Draw how many ran at once. A column shows everything that ran in it, however short."""
    levels: list[tuple[int, int]] = []  # from this column on, so many
    running = 0
    next_column = 0
    for item in bins:
        if item.column > next_column:
            levels.append((next_column, running))
        levels.append((item.column, running + item.began))
        running += item.began - item.ended
        next_column = item.column + 1
    levels.append((next_column, running))
    peak = max((level for _, level in levels), default=0) or 1
    path = [f"M0 {_AREA_HEIGHT}"]
    shown = 0
    for column, level in levels:
        if level != shown and column < columns:
            # At least 3 px for anything at all, so that one call among thousands is still seen.
            height = 0.0 if not level else max(3.0, level / peak * _AREA_HEIGHT)
            path.append(f"H{column}V{_AREA_HEIGHT - height:.4g}")
            shown = level
    end = columns if running else next_column
    path.append(f"H{min(end, columns)}V{_AREA_HEIGHT}Z")
    failures = tuple(item.column for item in bins if item.failed)
    colour = "completed" if status == "failed" else status
    return Area(columns, "".join(path), f"area is-{colour}", _thin_out(failures))


def _thin_out(columns: tuple[int, ...], most: int = 50) -> tuple[int, ...]:
    """Keep at most so many marks, evenly."""
    if len(columns) <= most:
        return columns
    return tuple(columns[n * len(columns) // most] for n in range(most))
