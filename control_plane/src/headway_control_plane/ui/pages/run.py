"""The page of one run: did it work; if not, why; else what is it doing?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from headway_control_plane.db.pool import Connection
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.projections import calls, checkpoints, tasks
from headway_control_plane.projections.attempts import (
    AttemptView,
    last_report,
    list_attempts,
    read_result,
    view_error,
)
from headway_control_plane.projections.events import view_event
from headway_control_plane.projections.forks import list_forks
from headway_control_plane.projections.logs import (
    LEVELS,
    LogFilter,
    LogPage,
    read_lines,
    read_tail,
)
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.runs import get_run, list_children
from headway_control_plane.projections.tasks import TaskCounts, TaskPage
from headway_control_plane.projections.waits import open_waits
from headway_control_plane.ui import words
from headway_control_plane.ui.pages.artifacts import output_values, read_outputs
from headway_control_plane.ui.pages.site import PROJECTION, NoSuchPage, Site, number_of, path_id
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views import run_page as shape
from headway_control_plane.ui.views.axis import Axis, percent
from headway_control_plane.ui.views.lanes import (
    COLUMNS,
    MAX_LANES,
    group_lane,
    lane_key,
    lanes_of_tasks,
)
from headway_control_plane.ui.views.parts import Tab, link, run_age
from headway_control_plane.ui.views.plan_page import CHILDREN_SHOWN, line_facts
from headway_control_plane.ui.views.questions import Question, Refused, questions_of
from headway_control_plane.ui.views.timeline import (
    Lane,
    Picture,
    attempt_lanes,
    lead_words,
    run_axis,
)

# Up to so many calls are read and drawn one by one; beyond, the database folds and bins them.
DRAWN_SINGLY = 400
TASKS_ON_PAGE = 25
LOG_WINDOW = 300
EVENTS_ON_PAGE = 50

FLOWS = "flows"
_TASK_TABS = {
    "": ("All", None),
    "failed": ("Failed", ["failed", "interrupted"]),
    "open": ("Running", ["running", "retrying"]),
    "completed": ("Completed", ["completed", "skipped"]),
    "cancelled": ("Cancelled", ["cancelled"]),
    FLOWS: ("Sub-flows", None),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a run the address asks for."""

    fence: int
    status: str
    tasks_after: int
    task: str
    level: str
    text: str
    line: int
    unfolded: frozenset[str]

    def log_filter(self) -> LogFilter | None:
        if not (self.level or self.text or self.task):
            return None
        calls = frozenset({self.task}) if self.task else None
        return LogFilter(self.level or None, self.text or None, calls)


async def run_page(
    site: Site, request: Request, viewer: Viewer, refused: Refused | None = None
) -> Response:
    """Show a run; with `refused`, the answer that was not accepted."""
    now = site.services.clock.now()
    run_id = path_id(request)
    async with site.services.reads.workspace(viewer.ws) as connection:
        run = await get_run(connection, viewer.ws, run_id, now=now)
        if run is None:
            raise NoSuchPage(f"There is no run {run_id} in this workspace.", "/runs", "Runs")
        asked = read_asked(request, run)
        attempts = await list_attempts(connection, viewer.ws, run.id, after=max(0, run.fence - 20))
        counts = await _counts(connection, viewer.ws, run, asked.fence)
        values = await _task_values(connection, viewer.ws, run, attempts, counts, asked, now)
        log = await read_log(connection, viewer.ws, run, asked)
        forks = await list_forks(connection, viewer.ws, run.id) if run.is_terminal else []
        children = await list_children(connection, viewer.ws, run.id, now, CHILDREN_SHOWN + 1)
        outputs = await read_outputs(connection, viewer.ws, run.id)
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    values |= await output_values(site, viewer, outputs, now)
    values |= await _contents(site, viewer, run, attempts)
    values["questions"] = await _questions(site, viewer, run, now, refused)
    word, at = run_age(run)
    values |= {
        "run": run,
        "age": words.moment(at, now),
        "age_word": word,
        "took": shape.took_words(run, attempts),
        "facts": line_facts(run, [(made, cut.verb) for made, cut in forks], children)
        + shape.run_facts(run, now),
        "asked": asked,
        "log": shape.log_lines(log.lines),
        "log_last": log.last_line,
        "log_first": log.lines[0].line if log.lines else 0,
        "log_more": log.more,
        "log_withheld": shape.withheld_log(run, run.permits) if not log.lines else "",
        "levels": LEVELS,
        "done": _done_words(request),
        "live": "" if run.is_terminal else f"run/{run.id}",
        "log_live": not run.is_terminal and not asked.line,
    }
    status = 422 if refused is not None else 200
    return await site.show(request, viewer, "run.html", values, freshness=freshness, status=status)


async def _questions(
    site: Site, viewer: Viewer, run: RunView, now: datetime, refused: Refused | None
) -> list[Question]:
    if run.state is not RunStatus.PAUSED:
        return []
    waits = await open_waits(site.services.reader, viewer.ws, run.waits, run.answered)
    return questions_of(waits, now, refused)


def read_asked(request: Request, run: RunView) -> Asked:
    """Read the address; what makes no sense counts as absent."""
    params = request.query_params
    fence = number_of(request, "attempt", run.fence)
    status = params.get("status", "")
    level = params.get("level", "").upper()
    return Asked(
        fence=min(max(fence, 1), max(run.fence, 1)),
        status=status if status in _TASK_TABS else "",
        tasks_after=number_of(request, "tasks_after"),
        task=params.get("task", "")[:64],
        level=level if level in LEVELS else "",
        text=params.get("q", "")[:200],
        line=number_of(request, "line"),
        unfolded=frozenset(params.getlist("open")[:20]),
    )


async def _counts(connection: Connection, ws: int, run: RunView, fence: int) -> TaskCounts:
    if run.tasks is not None and run.tasks.fence == fence:
        return run.tasks
    if run.tasks is None:
        return TaskCounts(fence)
    found = await tasks.counts(connection, ws, [run.id], fence=fence)
    return found.get(run.id, TaskCounts(fence))


async def _task_values(
    connection: Connection,
    ws: int,
    run: RunView,
    attempts: Sequence[AttemptView],
    counts: TaskCounts,
    asked: Asked,
    now: datetime,
) -> dict[str, Any]:
    axis = run_axis(run, attempts, now)
    base = f"/runs/{run.id}?attempt={asked.fence}"
    lanes: list[Lane] = []
    folded = ""
    page = TaskPage((), None)
    if counts.total > DRAWN_SINGLY:
        lanes, folded = await _binned_lanes(connection, ws, run, asked, axis, now, counts)
    elif counts.total:
        page = await tasks.page(connection, ws, run.id, asked.fence, limit=DRAWN_SINGLY)
        lanes = lanes_of_tasks(page.items, axis, now, base=base, unfolded=asked.unfolded)
        if len(lanes) > MAX_LANES and not asked.unfolded:
            folded = (
                f"{words.plural(len(lanes) - MAX_LANES, 'more row')} in the list of tasks below"
            )
            lanes = lanes[:MAX_LANES]
    if counts.total > DRAWN_SINGLY or asked.status or asked.tasks_after:
        page = await _table_page(connection, ws, run, asked)
    else:
        rest = (
            page.items[TASKS_ON_PAGE - 1].first_offset if len(page.items) > TASKS_ON_PAGE else None
        )
        page = TaskPage(page.items[:TASKS_ON_PAGE], rest)
    picture = Picture(
        ticks=axis.ticks(),
        attempts=attempt_lanes(run, attempts, axis, now, asked.fence),
        lanes=[replace(lane, selected=lane.key == asked.task) for lane in lanes],
        now=None if run.is_terminal else percent(axis.place(now)),
        head=axis.head(),
        lead=lead_words(run, attempts, axis),
        folded=folded,
    )
    older = link(base, {})
    return {
        "picture": picture,
        "counts": counts,
        "tasks": shape.task_rows(page.items, now, base),
        "task_tabs": _task_tabs(run, counts, asked),
        "tasks_next": f"{older}&status={asked.status}&tasks_after={page.next}#tasks"
        if page.next
        else None,
        "base": base,
    }


async def _table_page(connection: Connection, ws: int, run: RunView, asked: Asked) -> TaskPage:
    if asked.status == FLOWS:
        return await calls.flows(
            connection, ws, run.id, asked.fence, after=asked.tasks_after, limit=TASKS_ON_PAGE
        )
    return await tasks.page(
        connection, ws, run.id, asked.fence,
        after=asked.tasks_after, limit=TASKS_ON_PAGE, statuses=_TASK_TABS[asked.status][1],
    )  # fmt: skip


async def _binned_lanes(
    connection: Connection,
    ws: int,
    run: RunView,
    asked: Asked,
    axis: Axis,
    now: datetime,
    counts: TaskCounts,
) -> tuple[list[Lane], str]:
    found = await tasks.groups(connection, ws, run.id, asked.fence, now=now, limit=MAX_LANES)
    binned = await tasks.bins(
        connection,
        ws,
        run.id,
        asked.fence,
        found.shown,
        start=axis.start,
        end=axis.end,
        columns=COLUMNS,
    )
    lanes = []
    for group, bins in zip(found.shown, binned, strict=True):
        key = lane_key((group.parent.hex(), group.name))
        href = link(
            "/runs/" + str(run.id),
            {"attempt": str(asked.fence), "status": "failed" if group.failed else ""},
        )
        lanes.append(group_lane(group, bins, COLUMNS, key, f"{href}#tasks"))
    folded = f"{counts.total:,} calls folded into {words.plural(found.total, 'group')}"
    if found.total > len(lanes):
        folded += f", the first {len(lanes)} of them shown"
    return lanes, folded


def _task_tabs(run: RunView, counts: TaskCounts, asked: Asked) -> list[Tab]:
    numbers = {
        "": counts.total,
        "failed": counts.failed + counts.interrupted,
        "open": counts.open,
        "completed": counts.done,
        "cancelled": counts.cancelled,
    }
    return [
        Tab(
            name,
            f"/runs/{run.id}?attempt={asked.fence}&status={key}#tasks",
            words.count(numbers[key]) if key in numbers else "",
            current=key == asked.status,
        )
        for key, (name, _) in _TASK_TABS.items()
        if numbers.get(key, 1) or not key
    ]


async def read_log(connection: Connection, ws: int, run: RunView, asked: Asked) -> LogPage:
    """Return the window of the log that the address asks for: from a line, what a filter lets through, or the end."""
    if run.fence == 0:
        return LogPage((), 0, more=False)
    wanted = asked.log_filter()
    if asked.line or wanted is not None:
        start = max(0, asked.line - 1)
        return await read_lines(
            connection, ws, run.id, asked.fence, after_line=start, limit=LOG_WINDOW, wanted=wanted
        )
    return await read_tail(connection, ws, run.id, asked.fence, limit=LOG_WINDOW)


async def _contents(
    site: Site,
    viewer: Viewer,
    run: RunView,
    attempts: Sequence[AttemptView],
) -> dict[str, Any]:
    """Read what lies beside the log or in it: parameters, error text, result, the run's own events."""
    reader = site.services.reader
    named = [digest for digest in (run.parameters, run.error_text) if digest]
    blobs = await reader.blobs(viewer.ws, named)
    parameters = blobs.get(run.parameters)
    error = view_error(run.error_class, run.error_text, blobs)
    stream = Stream(StreamKind.RUN, run.id)
    events = await reader.read_stream(
        viewer.ws, stream, max(0, run.version - EVENTS_ON_PAGE), EVENTS_ON_PAGE
    )
    result = None
    if run.state is RunStatus.COMPLETED and attempts:
        report = await last_report(
            reader, viewer.ws, run.id, attempts[-1].fence, attempts[-1].facts
        )
        result = await read_result(reader, viewer.ws, report) if report is not None else None
    return {
        "parameters": shape.pretty_json(parameters) if parameters is not None else None,
        "parameters_withheld": "Parameters were erased, or are sealed for the agent alone.",
        "card": shape.error_card(run, error, permitted="error_text" in run.permits),
        "result": shape.result_words(result),
        "result_place": shape.result_place(result),
        "result_copy": shape.result_copy(result),
        "events": shape.event_rows(map(view_event, events)),
        "actions": shape.actions(run, parameters_known=parameters is not None),
    }


def _done_words(request: Request) -> str:
    """Confirm what a form of this page did; the address holds the place of its event, nothing else."""
    done = request.query_params.get("done", "")
    offset = number_of(request, "at")
    known = {
        "cancel": f"Cancel accepted at offset {offset:,}.",
        "release": f"Released at offset {offset:,}.",
        "input": f"Answered at offset {offset:,}; the run goes on.",
        "created": f"Run created at offset {offset:,}.",
        "nothing": "It was already being cancelled, or had ended: nothing was changed.",
    }
    return known.get(done, "")


async def log_fragment(site: Site, request: Request, viewer: Viewer) -> Response:
    """Return the lines behind `after_line`, for a page that follows the log."""
    now = site.services.clock.now()
    run_id: UUID = path_id(request)
    async with site.services.reads.workspace(viewer.ws) as connection:
        run = await get_run(connection, viewer.ws, run_id, now=now)
        if run is None:
            raise NoSuchPage(f"There is no run {run_id} in this workspace.", "/runs", "Runs")
        asked = read_asked(request, run)
        log = await read_lines(
            connection,
            viewer.ws,
            run.id,
            asked.fence,
            after_line=number_of(request, "after_line"),
            limit=LOG_WINDOW,
            wanted=asked.log_filter(),
        )
    return lines_answer(site, request, log)


def lines_answer(site: Site, request: Request, log: LogPage) -> Response:
    """Answer with lines of a log, and say where it goes on."""
    if not log.lines:
        return Response(status_code=204, headers={"Headway-Last-Line": str(log.last_line)})
    values = {"log": shape.log_lines(log.lines)}
    answer = site.renderer.bare(request, "log_fragment.html", values)
    answer.headers["Headway-Last-Line"] = str(log.last_line)
    return answer
