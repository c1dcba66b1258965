"""Runs that are made from runs: resume, retry one step, rerun from one; each with its preview."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from headway_control_plane.application.fork_run import ForkWish, fork_run, plan_fork
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import errors, tell_cursor
from headway_control_plane.http_api.routes_runs import show_whole
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes_forks import ForkInput, PlanShape
from headway_control_plane.http_api.shapes_runs import RunShape
from headway_control_plane.projections.forks import MOST_CALLS, ForkSources

router = APIRouter(prefix="/runs/{run_id}", tags=["runs"])

Verb = Literal["resume", "retry", "rerun"]


@router.get(
    "/plan",
    summary="Preview a resume, retry or rerun",
    response_model=PlanShape,
    responses=errors(400, 404, 413, 422, 503),
)
async def plan(
    run_id: UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    verb: Annotated[Verb, Query(description="What would be done.")] = "resume",
    call: Annotated[str, Query(max_length=64, description="The call it begins with.")] = "",
    limit: Annotated[int, Query(ge=0, le=MOST_CALLS, description="Most calls of each list.")] = 100,
) -> PlanShape:
    """Say which of the run's calls would execute again and which would not. The run itself is made by the very same rule."""
    found = await plan_fork(_sources(services), caller.ws, run_id, ForkWish(verb, call))
    return PlanShape.of(found, limit)


@router.post(
    "/fork",
    status_code=201,
    summary="Resume, retry a step, or rerun from one",
    response_model=RunShape,
    responses=errors(400, 404, 409, 413, 422, 503)
    | {200: {"model": RunShape, "description": "The run that this idempotency key made before."}},
)
async def fork(
    run_id: UUID,
    body: ForkInput,
    request: Request,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Your name for this wish: the same key within 24 h gives the same run.",
            max_length=120,
        ),
    ] = None,
) -> RunShape:
    """Make a run from one that has ended. It takes what it keeps from the other one's journal, and leaves that run as it was."""
    accepted = await fork_run(
        services.log,
        services.catalogue,
        _sources(services),
        services.ids,
        caller.ws,
        run_id,
        actor=caller.actor,
        wish=ForkWish(body.verb, body.call, body.parameters),
        idempotency_key=idempotency_key,
        traceparent=request.headers.get("traceparent", "")[:100],
    )
    if accepted.new is None:
        response.status_code = 200
    tell_cursor(response, accepted.cursor)
    return await show_whole(services, caller.ws, accepted.run, known=accepted.parameters)


def _sources(services: Services) -> ForkSources:
    return ForkSources(services.reads, services.reader)
