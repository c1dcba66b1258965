"""Operations on runs."""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from headway_control_plane.application.answer_run import answer_run
from headway_control_plane.application.cancel_run import cancel_run
from headway_control_plane.application.create_run import RunRequest, create_run
from headway_control_plane.application.errors import InvalidRequest, Missing, Problem
from headway_control_plane.application.release_run import release_run
from headway_control_plane.db.pool import Connection
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.domain.streams import Blob
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import (
    MinOffset,
    MinOffsetHeader,
    PageCursor,
    PageLimit,
    Since,
    Until,
    earliest,
    errors,
    require_text,
    tell_cursor,
)
from headway_control_plane.http_api.freshness import Wanted, wait_for_log
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes import PageShape
from headway_control_plane.http_api.shapes_runs import (
    CancelInput,
    CountsShape,
    ReleaseInput,
    RunInput,
    RunItem,
    RunShape,
)
from headway_control_plane.http_api.shapes_waits import AnswerInput
from headway_control_plane.projections import runs
from headway_control_plane.projections.attempts import last_report, read_error, read_result
from headway_control_plane.projections.deployments import find_deployment
from headway_control_plane.projections.forks import list_forks
from headway_control_plane.projections.head import head
from headway_control_plane.projections.run_filters import RunFilter, prefix_range
from headway_control_plane.projections.run_view import view_of_new
from headway_control_plane.projections.waits import RunWaits, open_waits

router = APIRouter(prefix="/runs", tags=["runs"])

States = Annotated[list[RunStatus] | None, Query(alias="state", description="Any of these states.")]
Deployment = Annotated[
    str | None, Query(max_length=500, description="Id or name of the deployment.")
]
Flow = Annotated[str | None, Query(max_length=500, description="Name of the flow.")]
Tags = Annotated[
    list[str] | None, Query(alias="tag", max_length=20, description="All of these tags.")
]
Text = Annotated[
    str | None,
    Query(
        alias="q",
        max_length=200,
        description="Text in the run's name or flow. Looks at a bounded number of runs a page: a page may be short and have a next.",
    ),
]
Prefix = Annotated[str | None, Query(max_length=36, description="Beginning of the run's id.")]


@router.post(
    "",
    status_code=201,
    summary="Create a run",
    response_model=RunShape,
    responses=errors(400, 404, 409, 413, 422)
    | {200: {"model": RunShape, "description": "The run that this idempotency key made before."}},
)
async def create(
    *,
    body: RunInput,
    request: Request,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Your name for this wish: the same key within 24 h gives the same run.",
            max_length=1000,
        ),
    ] = None,
) -> RunShape:
    """Accept a run of a deployment. Parameters are checked before: an accepted run never fails for its parameters."""
    accepted = await create_run(
        services.log,
        services.catalogue,
        services.ids,
        caller.ws,
        actor=caller.actor,
        request=RunRequest(
            deployment=body.deployment,
            parameters=body.parameters,
            name=body.name,
            tags=body.tags,
            priority=body.priority,
            due_at=body.due_at,
        ),
        idempotency_key=idempotency_key,
        traceparent=request.headers.get("traceparent", "")[:100],
    )
    tell_cursor(response, accepted.cursor)
    if accepted.new is None:
        response.status_code = 200
        shown = await show_whole(services, caller.ws, accepted.run, known=accepted.parameters)
        return shown.model_copy(update={"cursor": str(accepted.cursor)})
    # As it was accepted, without a look at the rows: whoever follows from here hears all that came after.
    return RunShape.whole(
        view_of_new(accepted.new),
        parameters=json.loads(accepted.parameters.content or b"null"),
        error=None,
        result=None,
        cursor=str(accepted.cursor),
    )


@router.get(
    "",
    summary="List runs, newest first",
    response_model=PageShape[RunItem],
    responses=errors(400, 404, 422),
)
async def list_all(
    *,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
    states: States = None,
    deployment: Deployment = None,
    flow: Flow = None,
    tags: Tags = None,
    q: Text = None,
    since: Since = None,
    until: Until = None,
    prefix: Prefix = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
    min_offset: MinOffset = None,
    min_offset_header: MinOffsetHeader = None,
) -> PageShape[RunItem]:
    """List runs. Filters combine; every combination walks an index, however many runs there are."""
    earliest(since, until)
    wanted = _filter(states, flow, tags, q, prefix)
    await wait_for_log(services, caller.ws, Wanted.parse(min_offset, min_offset_header))
    async with services.reads.workspace(caller.ws) as connection:
        tell_cursor(response, await head(connection, caller.ws))
        page = await runs.list_runs(
            connection,
            caller.ws,
            RunFilter(
                states=wanted.states,
                deployment=await _deployment_id(connection, caller.ws, deployment),
                flow=wanted.flow,
                tags=wanted.tags,
                text=wanted.text,
                since=since,
                until=until,
                prefix=wanted.prefix,
            ),
            now=services.clock.now(),
            cursor=cursor,
            limit=limit,
        )
    return PageShape[RunItem](
        items=[RunItem.of(view) for view in page.items], next=page.next, previous=page.previous
    )


@router.get(
    "/counts",
    summary="Count runs by state",
    response_model=CountsShape,
    responses=errors(400, 404, 422),
)
async def count(
    *,
    caller: CallerDependency,
    services: ServicesDependency,
    states: States = None,
    deployment: Deployment = None,
    flow: Flow = None,
    tags: Tags = None,
    q: Text = None,
    since: Since = None,
    until: Until = None,
) -> CountsShape:
    """Count to a cap of 10,000 a state, so that the cost is bounded; with `tag` or `q` among the newest 10,000 runs."""
    earliest(since, until)
    wanted = _filter(states, flow, tags, q, None)
    async with services.reads.workspace(caller.ws) as connection:
        found = await runs.count_by_state(
            connection,
            caller.ws,
            RunFilter(
                states=wanted.states,
                deployment=await _deployment_id(connection, caller.ws, deployment),
                flow=wanted.flow,
                tags=wanted.tags,
                text=wanted.text,
                since=since,
                until=until,
            ),
        )
    return CountsShape(states=dict(found.counts), capped=sorted(found.capped), cap=runs.COUNT_CAP)


@router.get(
    "/{run_id}", summary="Show a run", response_model=RunShape, responses=errors(400, 404, 410, 422)
)
async def show(
    run_id: UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    min_offset: MinOffset = None,
    min_offset_header: MinOffsetHeader = None,
) -> RunShape:
    """Show a run with its parameters, error and result, as far as its pool lets them out."""
    await wait_for_log(services, caller.ws, Wanted.parse(min_offset, min_offset_header))
    return await show_whole(services, caller.ws, run_id)


@router.post(
    "/{run_id}/cancel",
    status_code=202,
    summary="Cancel a run",
    response_model=RunShape,
    responses=errors(400, 404, 409, 422),
)
async def cancel(
    run_id: UUID,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
    body: CancelInput | None = None,
) -> RunShape:
    """Ask for the run's end. A waiting run ends at once; a running one is told to, and forced after its grace periods."""
    accepted = await cancel_run(
        services.log, caller.ws, run_id, actor=caller.actor, reason=body.reason if body else ""
    )
    tell_cursor(response, accepted.cursor)
    return await show_whole(services, caller.ws, run_id)


@router.post(
    "/{run_id}/release",
    summary="Let a paused run go on",
    response_model=RunShape,
    responses=errors(404, 409, 422),
)
async def release(
    run_id: UUID,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
    body: ReleaseInput | None = None,
) -> RunShape:
    """Schedule a paused run again, for example one whose agent was lost under `on_lost = hold`."""
    anywhere = body is not None and body.anywhere
    done = await release_run(services.log, caller.ws, run_id, actor=caller.actor, anywhere=anywhere)
    tell_cursor(response, done.cursor)
    return await show_whole(services, caller.ws, run_id)


@router.post(
    "/{run_id}/input",
    summary="Answer what a suspended run asks",
    response_model=RunShape,
    responses=errors(400, 404, 409, 413, 422),
)
async def answer(
    run_id: UUID,
    body: AnswerInput,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
) -> RunShape:
    """Give an answer, once; it is checked against the schema that the flow asked with. The run goes on with it."""
    done = await answer_run(
        services.log,
        RunWaits(services.reads, services.reader),
        caller.ws,
        run_id,
        actor=caller.actor,
        value=body.value,
        name=body.name,
        call=_call(body.call),
    )
    tell_cursor(response, done.cursor)
    return await show_whole(services, caller.ws, run_id)


def _call(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidRequest(
            "The request holds values that can't be accepted.",
            problems=[Problem("call", "is no key of a call: 32 hexadecimal digits")],
        ) from None


async def show_whole(
    services: Services, ws: int, run_id: UUID, *, known: Blob | None = None
) -> RunShape:
    """Show a run as it is now. Contents that are `known` are not read again."""
    async with services.reads.workspace(ws, by_key=True) as connection:
        cursor = await head(connection, ws)
        view = await runs.get_run(connection, ws, run_id, now=services.clock.now())
        forks = await list_forks(connection, ws, run_id) if view and view.is_terminal else []
    if view is None:
        raise missing_run()
    if known is not None and known.digest == view.parameters:
        parameters: bytes | None = known.content
    else:
        parameters = (await services.reader.blobs(ws, [view.parameters])).get(view.parameters)
    result = None
    if view.state is RunStatus.COMPLETED:
        report = await last_report(services.reader, ws, run_id, view.fence, view.facts)
        result = await read_result(services.reader, ws, report) if report is not None else None
    return RunShape.whole(
        view,
        parameters=json.loads(parameters) if parameters else None,
        error=await read_error(services.reader, ws, view.error_class, view.error_text),
        result=result,
        waits=await open_waits(services.reader, ws, view.waits, view.answered)
        if view.state is RunStatus.PAUSED
        else (),
        forks=forks,
        cursor=str(cursor),
    )


def missing_run() -> Missing:
    """Say that there is no such run; a run of another workspace looks the same."""
    return Missing(
        "There is no such run in this workspace.", hint="List runs with: headway runs ls"
    )


def _filter(
    states: list[RunStatus] | None,
    flow: str | None,
    tags: list[str] | None,
    q: str | None,
    prefix: str | None,
) -> RunFilter:
    return RunFilter(
        states=tuple(dict.fromkeys(states or ())),
        flow=require_text("flow", flow) or None,
        tags=tuple(dict.fromkeys(require_text("tag", tag) or "" for tag in tags or ())),
        text=require_text("q", q) or None,
        prefix=_require_prefix(prefix),
    )


def _require_prefix(prefix: str | None) -> str | None:
    if not prefix:
        return None
    try:
        prefix_range(prefix)
    except ValueError:
        raise InvalidRequest(
            "The request holds values that can't be accepted.",
            problems=[
                Problem("prefix", "must be the beginning of a run's id: hexadecimal digits and '-'")
            ],
        ) from None
    return prefix


async def _deployment_id(connection: Connection, ws: int, id_or_name: str | None) -> UUID | None:
    if not id_or_name:
        return None
    found = await find_deployment(connection, ws, require_text("deployment", id_or_name) or "")
    if found is None:
        raise Missing(
            f"There is no deployment {id_or_name!r} in this workspace.",
            hint="List them with: headway deployments ls",
        )
    return found.deployment
