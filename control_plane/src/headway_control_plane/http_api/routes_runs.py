"""Operations on runs."""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response

from headway_control_plane.application.answer_run import answer_run
from headway_control_plane.application.cancel_run import cancel_run
from headway_control_plane.application.create_run import RunRequest, create_run
from headway_control_plane.application.errors import InvalidRequest, Missing, Problem
from headway_control_plane.application.release_run import release_run
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.domain.streams import Blob
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import (
    MinOffset,
    MinOffsetHeader,
    errors,
    tell_cursor,
)
from headway_control_plane.http_api.freshness import Wanted, wait_for_log
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes_runs import (
    RunInput,
    RunShape,
)
from headway_control_plane.http_api.shapes_waits import AnswerInput, CancelInput, ReleaseInput
from headway_control_plane.projections import runs
from headway_control_plane.projections.attempts import last_report, read_error, read_result
from headway_control_plane.projections.forks import list_forks
from headway_control_plane.projections.head import head
from headway_control_plane.projections.run_view import view_of_new
from headway_control_plane.projections.waits import RunWaits, open_waits
from headway_control_plane.projections.wishes import list_refusals

router = APIRouter(prefix="/runs", tags=["runs"])


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
        refusals = await list_refusals(connection, ws, run_id) if view else []
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
        if view.waits_for_others
        else (),
        forks=forks,
        refusals=refusals,
        cursor=str(cursor),
    )


def missing_run() -> Missing:
    """Say that there is no such run; a run of another workspace looks the same."""
    return Missing(
        "There is no such run in this workspace.", hint="List runs with: headway runs ls"
    )
