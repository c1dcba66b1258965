"""The page of one run: did it work; if not, why; else what is it doing?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from headway_control_plane.db.pool import Connection
from headway_control_plane.domain.run.state import Fork, RunStatus
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.projections import checkpoints, tasks
from headway_control_plane.projections.attempts import (
    AttemptView,
    last_report,
    list_attempts,
    preview_digest,
    view_error,
    view_result,
)
from headway_control_plane.projections.events import view_event
from headway_control_plane.projections.forks import list_forks
from headway_control_plane.projections.gathering import side_by_side
from headway_control_plane.projections.logs import (
    LEVELS,
    LogPage,
    read_lines,
    read_tail,
)
from headway_control_plane.projections.read_model import Freshness
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.runs import get_run
from headway_control_plane.projections.tasks import TaskCounts
from headway_control_plane.projections.waits import view_waits
from headway_control_plane.ui import words
from headway_control_plane.ui.pages.artifacts import (
    Outputs,
    output_digests,
    output_values,
    read_outputs,
)
from headway_control_plane.ui.pages.asked import Asked, read_asked
from headway_control_plane.ui.pages.run_tasks import task_values
from headway_control_plane.ui.pages.site import PROJECTION, NoSuchPage, Site, number_of, path_id
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views import run_page as shape
from headway_control_plane.ui.views.children import child_facts
from headway_control_plane.ui.views.event_rows import event_rows
from headway_control_plane.ui.views.parts import run_age
from headway_control_plane.ui.views.plan_page import line_facts
from headway_control_plane.ui.views.questions import Refused, questions_of

LOG_WINDOW = 300
EVENTS_ON_PAGE = 50


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
        read = await _read(connection, viewer.ws, run, asked, now)
    values, log, forks = read.values, read.log, read.forks
    values |= await _contents(site, viewer, run, read, now, refused)
    word, at = run_age(run)
    values |= {
        "run": run,
        "age": words.moment(at, now),
        "age_word": word,
        "took": shape.took_words(run, read.attempts),
        "facts": line_facts(
            run,
            [(made, cut.verb) for made, cut in forks],
            child_facts(str(run.id), values["children"]),
        )
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
    return await site.show(
        request, viewer, "run.html", values, freshness=read.freshness, status=status
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """What the page shows of the read models."""

    attempts: Sequence[AttemptView]
    values: dict[str, Any]
    log: LogPage
    forks: Sequence[tuple[UUID, Fork]]
    outputs: Outputs
    freshness: Freshness


async def _read(
    connection: Connection, ws: int, run: RunView, asked: Asked, now: datetime
) -> _Read:
    async with side_by_side(connection) as looks:
        each = looks.connection
        attempts = looks.read(list_attempts(each, ws, run.id, after=max(0, run.fence - 20)))
        log = looks.read(read_log(each, ws, run, asked))
        forks = looks.read(list_forks(each, ws, run.id))
        outputs = looks.read(read_outputs(looks, ws, run.id))
        freshness = looks.read(checkpoints.freshness(each, ws, PROJECTION))
        counts = await _counts(each, ws, run, asked.fence)
        values = looks.read(task_values(looks, ws, run, attempts, counts, asked, now))
    return _Read(
        attempts.result(), values.result(), log.result(), forks.result(), outputs.result(), freshness.result()
    )  # fmt: skip


async def _counts(connection: Connection, ws: int, run: RunView, fence: int) -> TaskCounts:
    if run.tasks is not None and run.tasks.fence == fence:
        return run.tasks
    if run.tasks is None:
        return TaskCounts(fence)
    found = await tasks.counts(connection, ws, [run.id], fence=fence)
    return found.get(run.id, TaskCounts(fence))


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
    read: _Read,
    now: datetime,
    refused: Refused | None,
) -> dict[str, Any]:
    """Read what lies beside the log or in it: parameters, error text, questions, outputs, result, the run's own events."""
    reader, ws = site.services.reader, viewer.ws
    stream = Stream(StreamKind.RUN, run.id)
    events = await reader.read_stream(
        ws, stream, max(0, run.version - EVENTS_ON_PAGE), EVENTS_ON_PAGE
    )
    report = None
    if run.state is RunStatus.COMPLETED and read.attempts:
        newest = read.attempts[-1]
        report = await last_report(reader, ws, run.id, newest.fence, newest.facts)
    waits = run.waits if run.waits_for_others else ()
    named = {
        run.parameters,
        run.error_text,
        preview_digest(report),
        *(wait.request for wait in waits),
    }
    blobs = await reader.blobs(ws, (named | output_digests(read.outputs)) - {b""})
    parameters = blobs.get(run.parameters)
    error = view_error(run.error_class, run.error_text, blobs)
    result = view_result(report, blobs)
    return await output_values(read.outputs, blobs, now) | {
        "questions": questions_of(view_waits(waits, run.answered, blobs), now, refused),
        "parameters": shape.pretty_json(parameters) if parameters is not None else None,
        "parameters_withheld": "Parameters were erased, or are sealed for the agent alone.",
        "card": shape.error_card(run, error, permitted="error_text" in run.permits),
        "result": shape.result_words(result),
        "result_place": shape.result_place(result),
        "result_copy": shape.result_copy(result),
        "events": event_rows(map(view_event, events)),
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
