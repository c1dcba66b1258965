"""The page of a sub-flow: a call of a flow within a run, looked at like a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headway_control_plane.db.pool import Connection
from headway_control_plane.projections import calls, checkpoints, tasks
from headway_control_plane.projections.attempts import view_error
from headway_control_plane.projections.call_view import (
    FoundSubflow,
    find_subflow,
    read_call_result,
)
from headway_control_plane.projections.calls import Within
from headway_control_plane.projections.children import children_of
from headway_control_plane.projections.logs import LEVELS, LogFilter, LogPage, read_lines
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.runs import get_run
from headway_control_plane.projections.tasks import Task, TaskPage
from headway_control_plane.ui import words
from headway_control_plane.ui.pages.run import lines_answer
from headway_control_plane.ui.pages.site import PROJECTION, NoSuchPage, Site, number_of, path_id
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views import run_page as shape
from headway_control_plane.ui.views import subflow_page as words_of
from headway_control_plane.ui.views.axis import Axis, make_axis, percent
from headway_control_plane.ui.views.chains import first_lines
from headway_control_plane.ui.views.children import (
    asking,
    lanes_with_children,
    rows_with_children,
)
from headway_control_plane.ui.views.lanes import (
    COLUMNS,
    MAX_LANES,
    WITHHELD,
    group_lane,
    lane_key,
    lanes_of_tasks,
)
from headway_control_plane.ui.views.parts import ICONS
from headway_control_plane.ui.views.task_tabs import FLOWS, TASK_TABS, notable, task_tabs
from headway_control_plane.ui.views.timeline import Lane, Picture
from headway_control_plane.ui.views.until import drawn_until
from headway_control_plane.ui.zones import Zone, zone_of

# Up to so many calls are read and drawn one by one; beyond, those directly in the sub-flow are folded by name.
DRAWN_SINGLY = 400
TASKS_ON_PAGE = 25
# So many rows are looked at for a page of lines: of ranges that follow each other many become one line.
LOOKED_AT = 500
LOG_WINDOW = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a sub-flow the address asks for. `fence` 0: the newest attempt that came to it."""

    key: str
    fence: int
    status: str
    after: int
    task: str
    level: str
    text: str
    line: int
    unfolded: frozenset[str]
    zone: Zone


async def subflow_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show a sub-flow."""
    now = site.services.clock.now()
    run_id = path_id(request)
    asked = read_asked(request)
    async with site.services.reads.workspace(viewer.ws) as connection:
        run = await get_run(connection, viewer.ws, run_id, now=now)
        if run is None:
            raise NoSuchPage(f"There is no run {run_id} in this workspace.", "/runs", "Runs")
        found = await _find(connection, viewer.ws, run, asked)
        around = None
        if found.task.parent:
            parent = found.task.parent.hex()
            around = await calls.find_call(connection, viewer.ws, run.id, found.fence, parent)
        inner = await calls.look_within(connection, viewer.ws, run.id, found.fence, found.task.call)
        values = await _task_values(connection, viewer.ws, run, found, inner, asked, now)
        log = await _log(connection, viewer.ws, run, found, inner, asked)
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    values |= await _contents(site, viewer, run, found)
    values |= {
        "run": run,
        "call": found,
        "name": found.task.name or WITHHELD,
        "icon_name": ICONS.get(found.task.status, found.task.status),
        "words": words_of.answer(found, run),
        "age_word": "ended" if found.task.ended_at else "started",
        "age": words.moment(found.task.ended_at or found.task.started_at, now),
        "took": words_of.took(found, now),
        "facts": words_of.facts(found, run, around, now),
        "around": words_of.around_link(around, run, found.fence),
        "asked": asked,
        "log": shape.log_lines(log.lines),
        "log_last": log.last_line,
        "log_more": log.more,
        "log_withheld": shape.withheld_log(run, run.permits) if not log.lines else "",
        "levels": LEVELS,
        "live": "" if run.is_terminal else f"run/{run.id}",
    }
    return await site.show(request, viewer, "subflow.html", values, freshness=freshness)


def read_asked(request: Request) -> Asked:
    """Read the address; what makes no sense counts as absent."""
    params = request.query_params
    level, status = params.get("level", "").upper(), params.get("status", "")
    return Asked(
        key=request.path_params["call"],
        fence=number_of(request, "attempt"),
        status=status if status in TASK_TABS and status != FLOWS else "",
        after=number_of(request, "tasks_after"),
        task=params.get("task", "")[:64],
        level=level if level in LEVELS else "",
        text=params.get("q", "")[:200],
        line=number_of(request, "line"),
        unfolded=frozenset(params.getlist("open")[:20]),
        zone=zone_of(request),
    )


async def _find(connection: Connection, ws: int, run: RunView, asked: Asked) -> FoundSubflow:
    fence = asked.fence if asked.fence <= run.fence else 0
    try:
        found = await find_subflow(connection, ws, run, asked.key, fence or None)
    except (ValueError, calls.AmbiguousCall):
        found = None
    if found is None:
        which = f" in attempt {fence}" if fence else ""
        what = f"The run has no sub-flow {asked.key[:32]}{which}."
        raise NoSuchPage(what, f"/runs/{run.id}", "The run")
    return found


async def _task_values(
    connection: Connection,
    ws: int,
    run: RunView,
    found: FoundSubflow,
    inner: Within,
    asked: Asked,
    now: datetime,
) -> dict[str, Any]:
    call = found.task
    until = drawn_until(run, found.fence, found.attempt, now)
    axis = make_axis(call.started_at, max(call.ended_at or until.now, call.started_at), asked.zone)
    base = f"/runs/{run.id}/flows/{call.call.hex()}?attempt={found.fence}"
    folded = ""
    drawn: list[Task] = []
    if inner.counts.total <= DRAWN_SINGLY:
        every = await calls.within(
            connection, ws, run.id, found.fence, call.call, limit=DRAWN_SINGLY
        )
        drawn = await tasks.whole(connection, ws, run.id, found.fence, every.items)
        lanes = lanes_of_tasks(drawn, axis, until, base=base, unfolded=asked.unfolded)
        if len(lanes) > MAX_LANES and not asked.unfolded:
            more = words.plural(len(lanes) - MAX_LANES, "more row")
            folded = f"{more} in the list of tasks below"
            lanes = lanes[:MAX_LANES]
        page = part_of(every, asked.after, TASK_TABS[asked.status][1])
    else:
        page = await calls.within(
            connection, ws, run.id, found.fence, call.call,
            after=asked.after, limit=LOOKED_AT, statuses=TASK_TABS[asked.status][1],
        )  # fmt: skip
        lanes, folded = await _binned(connection, ws, run, found, axis, base, until.now)
    shown = first_lines(page, TASKS_ON_PAGE)
    asked_for = asking([*drawn, *shown.items])
    children = await children_of(connection, ws, run.id, asked_for, newest=0) if asked_for else {}
    lanes = lanes_with_children(lanes, children)
    picture = Picture(
        ticks=axis.ticks(),
        attempts=[words_of.own_lane(found, axis, until)],
        lanes=[replace(lane, selected=lane.key == asked.task) for lane in lanes],
        now=None if call.ended_at or call.status == "paused" else percent(axis.place(now)),
        head=axis.head(),
        folded=folded,
    )
    return {
        "picture": picture,
        "counts": inner.counts,
        "task_words": words_of.count_words(
            inner.counts.total, inner.counts.done, capped=inner.capped
        ),
        "tasks": rows_with_children(shape.task_rows(shown.items, now, base), children),
        "tasks_next": f"{base}&status={asked.status}&tasks_after={shown.next}#tasks"
        if shown.next
        else None,
        "task_tabs": task_tabs(base, inner.counts, asked.status, capped=inner.capped, flows=False),
        "base": base,
    }


def part_of(every: TaskPage, after: int, statuses: Sequence[str] | None) -> TaskPage:
    """Return what the table shows of calls that were all read."""
    return TaskPage(
        tuple(
            task
            for task in every.items
            if task.first_offset > after and (statuses is None or task.status in statuses)
        ),
        None,
    )


async def _binned(
    connection: Connection,
    ws: int,
    run: RunView,
    found: FoundSubflow,
    axis: Axis,
    base: str,
    now: datetime,
) -> tuple[list[Lane], str]:
    """Fold what the sub-flow itself called; what those called stands in the table."""
    groups = await tasks.groups(
        connection, ws, run.id, found.fence, now=now, limit=MAX_LANES, parent=found.task.call
    )
    binned = await tasks.bins(
        connection, ws, run.id, found.fence, groups.shown,
        start=axis.start, end=axis.end, columns=COLUMNS,
    )  # fmt: skip
    lanes = [
        group_lane(
            group,
            bins,
            COLUMNS,
            lane_key((group.parent.hex(), group.name)),
            f"{base}&status={notable(group)}#tasks",
        )
        for group, bins in zip(groups.shown, binned, strict=True)
    ]
    number = words.plural(sum(group.total for group in groups.shown), "call")
    folded = f"{number} folded into {words.plural(groups.total, 'group')}"
    if groups.total > len(lanes):
        folded += f", the first {len(lanes)} of them shown"
    return lanes, folded


async def _log(
    connection: Connection, ws: int, run: RunView, found: FoundSubflow, inner: Within, asked: Asked
) -> LogPage:
    keys = frozenset(key.hex() for key in (found.task.call, *inner.keys))
    wanted = LogFilter(
        asked.level or None, asked.text or None, frozenset({asked.task}) if asked.task else keys
    )
    return await read_lines(
        connection, ws, run.id, found.fence,
        after_line=max(0, asked.line - 1), limit=LOG_WINDOW, wanted=wanted,
    )  # fmt: skip


async def _contents(
    site: Site, viewer: Viewer, run: RunView, found: FoundSubflow
) -> dict[str, Any]:
    """Read what lies beside the log: the error's text, the result, whether the run's parameters are still there."""
    reader, call = site.services.reader, found.task
    named = [digest for digest in (run.parameters, call.error_text) if digest]
    blobs = await reader.blobs(viewer.ws, named)
    error = view_error(call.error_class, call.error_text, blobs)
    result = await read_call_result(reader, viewer.ws, call)
    return {
        "card": words_of.error_card(found, run, error),
        "result": shape.result_words(result),
        "result_place": shape.result_place(result),
        "result_copy": shape.result_copy(result),
        "actions": words_of.actions(found, run, parameters_known=run.parameters in blobs),
    }


async def log_fragment(site: Site, request: Request, viewer: Viewer) -> Response:
    """Return the lines behind `after_line`, for a page that follows the log."""
    run_id, asked = path_id(request), read_asked(request)
    asked = replace(asked, line=number_of(request, "after_line") + 1)
    async with site.services.reads.workspace(viewer.ws) as connection:
        run = await get_run(connection, viewer.ws, run_id, now=site.services.clock.now())
        if run is None:
            raise NoSuchPage(f"There is no run {run_id} in this workspace.", "/runs", "Runs")
        found = await _find(connection, viewer.ws, run, asked)
        inner = await calls.look_within(connection, viewer.ws, run.id, found.fence, found.task.call)
        log = await _log(connection, viewer.ws, run, found, inner, asked)
    return lines_answer(site, request, log)
