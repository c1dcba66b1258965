"""The sub-flows of one run: calls of flows within it, with what they call in turn."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from headway_control_plane.application.errors import Missing
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.call_keys import ambiguous_key, broken_key
from headway_control_plane.http_api.common import MinOffset, MinOffsetHeader, PageLimit, errors
from headway_control_plane.http_api.freshness import Wanted, wait_for_projection
from headway_control_plane.http_api.routes_run_parts import (
    Attempt,
    Number,
    Status,
    fence_of,
)
from headway_control_plane.http_api.routes_runs import missing_run
from headway_control_plane.http_api.shapes_runs import TaskSums
from headway_control_plane.http_api.shapes_subflows import SubflowShape, SubflowsShape
from headway_control_plane.http_api.shapes_tasks import TaskShape
from headway_control_plane.projections import calls
from headway_control_plane.projections.attempts import read_error
from headway_control_plane.projections.call_view import find_subflow, read_call_result
from headway_control_plane.projections.runs import get_run

router = APIRouter(prefix="/runs/{run_id}/flows", tags=["runs"])

CallKey = Annotated[
    str,
    Path(max_length=32, description="Key of the sub-flow, or any beginning that no other has."),
]


@router.get(
    "",
    summary="List the sub-flows of an attempt",
    response_model=SubflowsShape,
    responses=errors(400, 404, 410, 422),
)
async def list_flows(
    *,
    run_id: UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    attempt: Attempt = None,
    status: Status = None,
    after: Number = 0,
    limit: PageLimit = 100,
    min_offset: MinOffset = None,
    min_offset_header: MinOffsetHeader = None,
) -> SubflowsShape:
    """All sub-flows, however deep, in the order in which the log heard of them."""
    wanted = Wanted.parse(min_offset, min_offset_header)
    await wait_for_projection(services, caller.ws, "task_timeline", wanted)
    async with services.reads.workspace(caller.ws) as connection:
        fence = await fence_of(connection, caller.ws, run_id, attempt)
        page = await calls.flows(
            connection, caller.ws, run_id, fence, after=after, limit=limit, statuses=status
        )
        counts, capped = await calls.count_flows(connection, caller.ws, run_id, fence)
    return SubflowsShape(
        attempt=fence,
        counts=TaskSums.of(counts),
        capped=capped,
        items=[TaskShape.of(task) for task in page.items],
        next=page.next,
    )


@router.get(
    "/{call}",
    summary="Show a sub-flow",
    response_model=SubflowShape,
    responses=errors(400, 404, 410, 422),
)
async def show_flow(
    *,
    run_id: UUID,
    call: CallKey,
    caller: CallerDependency,
    services: ServicesDependency,
    attempt: Attempt = None,
    min_offset: MinOffset = None,
    min_offset_header: MinOffsetHeader = None,
) -> SubflowShape:
    """Show a sub-flow as an attempt has it: without `attempt`, the newest one that came to it."""
    wanted = Wanted.parse(min_offset, min_offset_header)
    await wait_for_projection(services, caller.ws, "task_timeline", wanted)
    now = services.clock.now()
    async with services.reads.workspace(caller.ws) as connection:
        run = await get_run(connection, caller.ws, run_id, now=now)
        if run is None:
            raise missing_run()
        if attempt is not None:
            await fence_of(connection, caller.ws, run_id, attempt)
        try:
            found = await find_subflow(connection, caller.ws, run, call, attempt)
        except ValueError:
            raise broken_key("call") from None
        except calls.AmbiguousCall:
            raise ambiguous_key("call") from None
        if found is None:
            raise missing_flow(run_id)
        inner = await calls.look_within(connection, caller.ws, run_id, found.fence, found.task.call)
    task, reader = found.task, services.reader
    return SubflowShape.of(
        run_id,
        found.fence,
        task,
        within=inner.counts,
        capped=inner.capped,
        error=await read_error(reader, caller.ws, task.error_class, task.error_text),
        result=await read_call_result(reader, caller.ws, task),
        now=now,
    )


def missing_flow(run_id: UUID) -> Missing:
    """Say that the run has no such sub-flow."""
    return Missing(
        "The run has no such sub-flow.", hint=f"List them with: headway runs flows {run_id}"
    )
