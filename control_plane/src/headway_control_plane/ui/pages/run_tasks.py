"""The part of a run's page that shows its calls: the picture, and the list that says the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headway_control_plane.db.pool import Connection
from headway_control_plane.projections import calls, tasks
from headway_control_plane.projections.attempts import AttemptView
from headway_control_plane.projections.children import children_of
from headway_control_plane.projections.gathering import SideBySide
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.tasks import Span, Task, TaskCounts, TaskGroups, TaskPage
from headway_control_plane.ui import words
from headway_control_plane.ui.pages.asked import Asked
from headway_control_plane.ui.views import run_page as shape
from headway_control_plane.ui.views.axis import Axis, percent
from headway_control_plane.ui.views.chains import are_alike, first_lines
from headway_control_plane.ui.views.children import (
    CHILDREN_SHOWN,
    asking,
    lanes_with_children,
    rows_with_children,
    waiting_lanes,
)
from headway_control_plane.ui.views.lanes import (
    COLUMNS,
    MAX_LANES,
    WITHHELD,
    group_lane,
    lane_key,
    lanes_of_tasks,
)
from headway_control_plane.ui.views.parts import link
from headway_control_plane.ui.views.task_tabs import FLOWS, TASK_TABS, notable, task_tabs
from headway_control_plane.ui.views.timeline import (
    Lane,
    Picture,
    attempt_lanes,
    lead_words,
    run_axis,
    run_origin,
)
from headway_control_plane.ui.views.until import Until, drawn_until
from headway_control_plane.ui.views.zoom import zoom_of, zoomed_axis

# Up to so many calls are read and drawn one by one; beyond, the database folds and bins them.
DRAWN_SINGLY = 400
TASKS_ON_PAGE = 25
# So many calls of ranges are drawn one by one where a part of the run is looked at.
MOST_EXPANDED = 4_000
# So many rows are looked at for a page of lines: of ranges that follow each other many become one line.
LOOKED_AT = 500
CALLS_ON_PAGE = 100


@dataclass(frozen=True, slots=True)
class Listed:
    """The lines of the list, where the rest is, and what range they are the calls of, in words; empty for all tasks."""

    rows: list[shape.TaskRow]
    next: str | None
    within: str = ""
    tasks: Sequence[Task] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rows of the picture, what they leave out, in words, and the calls that are drawn one by one."""

    lanes: list[Lane]
    folded: str = ""
    tasks: Sequence[Task] = ()


async def task_values(
    looks: SideBySide,
    ws: int,
    run: RunView,
    attempts: asyncio.Task[list[AttemptView]],
    counts: TaskCounts,
    asked: Asked,
    now: datetime,
) -> dict[str, Any]:
    """Return what the templates show of an attempt's calls."""
    connection = looks.connection
    base = f"/runs/{run.id}?attempt={asked.fence}" + (asked.window.query if asked.window else "")
    listing = looks.read(_listed(connection, ws, run, asked, counts, now, base))
    span = None
    if asked.window:  # the attempts tell where it lies; nothing else waits for them
        span = asked.window.span(run_origin(run, await attempts))
    looking = looks.read(_look(looks, ws, run, asked, counts, now, span))
    found, listed, tried = await looking, await listing, await attempts
    whole, origin = run_axis(run, tried, now, asked.zone), run_origin(run, tried)
    axis = zoomed_axis(whole, span)
    singly = found.items if isinstance(found, TaskPage) else ()
    finding = looks.read(
        children_of(
            connection, ws, run.id, asking([*singly, *listed.tasks]), newest=CHILDREN_SHOWN + 1
        )
    )
    attempt = next((each for each in tried if each.fence == asked.fence), None)
    until = drawn_until(run, asked.fence, attempt, now)
    if isinstance(found, TaskPage):
        drawn = await _drawn_lanes(connection, ws, run, asked, axis, until, base, found, span=span)
    else:
        drawn = await _binned_lanes(connection, ws, run, asked, axis, counts, found, span=span)
    children = await finding
    lanes = lanes_with_children(drawn.lanes, children)
    if asked.fence == run.fence:
        known = {task.call for task in drawn.tasks}
        over = counts.total <= DRAWN_SINGLY
        lanes += waiting_lanes(children, known, axis, until, over=over)
    picture = Picture(
        ticks=axis.ticks(),
        attempts=attempt_lanes(run, tried, axis, now, asked.fence),
        lanes=[replace(lane, selected=lane.key == asked.task) for lane in lanes],
        now=None if run.is_terminal or now > axis.end else percent(axis.place(now)),
        head=axis.head(),
        lead="" if span else lead_words(run, tried, axis),
        folded=drawn.folded,
        zoom=zoom_of(whole, axis, origin, f"/runs/{run.id}", _keeps(asked)) if tried else None,
    )
    return {
        "picture": picture,
        "counts": counts,
        "tasks": rows_with_children(listed.rows, children),
        "children": children,
        "tasks_next": listed.next,
        "tasks_within": listed.within,
        "task_tabs": task_tabs(base, counts, asked.status),
        "base": base,
    }


def _keeps(asked: Asked) -> list[tuple[str, str]]:
    """What a link to another part of the run's time leaves as it is."""
    kept = [("attempt", str(asked.fence))]
    kept += [
        (name, value) for name, value in (("status", asked.status), ("task", asked.task)) if value
    ]
    return [*kept, *(("open", key) for key in sorted(asked.unfolded))]


async def _look(
    looks: SideBySide,
    ws: int,
    run: RunView,
    asked: Asked,
    counts: TaskCounts,
    now: datetime,
    span: Span | None,
) -> TaskPage | TaskGroups:
    """Read what the picture is drawn from: the calls, or sums of very many."""
    connection = looks.connection
    if counts.total > DRAWN_SINGLY:
        summing = tasks.groups(
            connection, ws, run.id, asked.fence, now=run.ended_at or now, limit=MAX_LANES, span=span
        )
        if span is None:
            return await summing
        sums = looks.read(summing)  # beside the calls: which of the two is drawn shows then
        part = await tasks.in_span(connection, ws, run.id, asked.fence, span, limit=DRAWN_SINGLY)
        if part.next is None and sum(task.calls for task in part.items) <= MOST_EXPANDED:
            return part
        return await sums
    if counts.total:
        return await tasks.page(connection, ws, run.id, asked.fence, limit=DRAWN_SINGLY)
    return TaskPage((), None)


async def _drawn_lanes(
    connection: Connection,
    ws: int,
    run: RunView,
    asked: Asked,
    axis: Axis,
    until: Until,
    base: str,
    page: TaskPage,
    *,
    span: Span | None,
) -> Drawn:
    """Each call as what it is, those of ranges too."""
    drawn = await tasks.whole(connection, ws, run.id, asked.fence, page.items)
    if span is not None:
        drawn = [task for task in drawn if span.holds(task)]
        if not drawn:
            return Drawn([], "No call was executing in this part.")
    lanes = lanes_of_tasks(drawn, axis, until, base=base, unfolded=asked.unfolded)
    if len(lanes) <= MAX_LANES or asked.unfolded:
        return Drawn(lanes, "", drawn)
    more = words.plural(len(lanes) - MAX_LANES, "more row")
    return Drawn(lanes[:MAX_LANES], f"{more} in the list of tasks below", drawn)


async def _listed(
    connection: Connection,
    ws: int,
    run: RunView,
    asked: Asked,
    counts: TaskCounts,
    now: datetime,
    base: str,
) -> Listed:
    if not counts.total:
        return Listed([], None)
    if asked.within:
        return await _calls_of_range(connection, ws, run, asked, now, base)
    after = asked.tasks_after
    if asked.status == FLOWS:
        page = await calls.flows(connection, ws, run.id, asked.fence, after=after, limit=LOOKED_AT)
    else:
        page = await tasks.page(
            connection, ws, run.id, asked.fence,
            after=after, limit=LOOKED_AT, statuses=TASK_TABS[asked.status][1],
        )  # fmt: skip
    shown = first_lines(page, TASKS_ON_PAGE)
    href = f"{base}&status={asked.status}&tasks_after={shown.next}#tasks" if shown.next else None
    return Listed(shape.task_rows(shown.items, now, base), href, tasks=shown.items)


async def _calls_of_range(
    connection: Connection, ws: int, run: RunView, asked: Asked, now: datetime, base: str
) -> Listed:
    """A page of the calls of one range; behind its last one follow those of the next range that is like it."""
    page = await tasks.page(
        connection, ws, run.id, asked.fence, after=asked.within - 1, limit=LOOKED_AT
    )
    first, *others = page.items or (None,)
    if first is None or first.first_offset != asked.within or not first.is_range:
        return Listed([], None, "No calls stand at this place any more.")
    inside = await tasks.whole(connection, ws, run.id, asked.fence, [first])
    end = asked.calls_after + CALLS_ON_PAGE
    following = next((task for task in others if task.is_range and are_alike(first, task)), None)
    href = None
    if end < len(inside):
        href = f"{base}&range={asked.within}&calls_after={end}#tasks"
    elif following is not None:
        href = f"{base}&range={following.first_offset}#tasks"
    shown = inside[asked.calls_after : end]
    told = (
        f"{asked.calls_after + 1:,} to {asked.calls_after + len(shown):,} of {first.calls:,} calls"
    )
    name = first.name or WITHHELD
    plan = f"/runs/{run.id}/plan" if run.is_terminal else ""
    return Listed(
        shape.task_rows(shown, now, base, plan=plan),
        href,
        f"{name}: {told} that were reported together",
        shown,
    )


async def _binned_lanes(
    connection: Connection,
    ws: int,
    run: RunView,
    asked: Asked,
    axis: Axis,
    counts: TaskCounts,
    found: TaskGroups,
    *,
    span: Span | None,
) -> Drawn:
    binned = await tasks.bins(
        connection,
        ws,
        run.id,
        asked.fence,
        found.shown,
        start=axis.start,
        end=axis.end,
        columns=COLUMNS,
        span=span,
    )
    lanes = []
    for group, bins in zip(found.shown, binned, strict=True):
        key = lane_key((group.parent.hex(), group.name))
        href = link(
            "/runs/" + str(run.id),
            {"attempt": str(asked.fence), "status": notable(group)},
        )
        lanes.append(group_lane(group, bins, COLUMNS, key, f"{href}#tasks"))
    total = sum(group.total for group in found.shown) if span else counts.total
    folded = f"{total:,} calls folded into {words.plural(found.total, 'group')}"
    if span is not None:
        folded += "; look closer to see each one"
    if found.total > len(lanes):
        folded += f", the first {len(lanes)} of them shown"
    return Drawn(lanes, folded)
