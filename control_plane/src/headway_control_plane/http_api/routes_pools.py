"""Operations on pools, agents and the tokens that enrol agents."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from headway_control_plane.application.catalogue import require_pool
from headway_control_plane.application.create_pool import NEW_POOL_PERMITS, change_pool, create_pool
from headway_control_plane.application.enrolment import issue_enrolment_token
from headway_control_plane.application.errors import Missing
from headway_control_plane.domain.commands import RevokeAgent
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import (
    PageCursor,
    PageLimit,
    errors,
    require_text,
    tell_cursor,
)
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes import Reference
from headway_control_plane.http_api.shapes_other import (
    AgentPage,
    AgentShape,
    EnrolmentTokenInput,
    EnrolmentTokenShape,
    PoolChangeInput,
    PoolInput,
    PoolPage,
    PoolShape,
)
from headway_control_plane.projections import agents, pools

router = APIRouter(tags=["pools and agents"])


@router.post(
    "/pools",
    status_code=201,
    summary="Create a pool",
    response_model=PoolShape,
    responses=errors(400, 409, 422),
)
async def create(
    body: PoolInput, response: Response, caller: CallerDependency, services: ServicesDependency
) -> PoolShape:
    """Create a pool. Its agents send what `permits` names and nothing else: they leave the rest out themselves."""
    made = await create_pool(
        services.log,
        services.ids,
        caller.ws,
        actor=caller.actor,
        name=body.name,
        permits=NEW_POOL_PERMITS if body.permits is None else body.permits,
        slots=body.slots,
    )
    tell_cursor(response, made.cursor)
    return await _pool(services, caller.ws, str(made.pool))


@router.get(
    "/pools", summary="List pools by name", response_model=PoolPage, responses=errors(400, 422)
)
async def list_pools(
    caller: CallerDependency,
    services: ServicesDependency,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> PoolPage:
    """List pools with how full they are and how many runs wait for them."""
    async with services.reads.workspace(caller.ws) as connection:
        page = await pools.list_pools(connection, caller.ws, cursor=cursor, limit=limit)
    return PoolPage(items=[PoolShape.of(view) for view in page.items], next=page.next)


@router.get(
    "/pools/{id_or_name}",
    summary="Show a pool",
    response_model=PoolShape,
    responses=errors(404, 422),
)
async def show_pool(
    id_or_name: str, caller: CallerDependency, services: ServicesDependency
) -> PoolShape:
    """Show one pool."""
    return await _pool(services, caller.ws, id_or_name)


@router.put(
    "/pools/{id_or_name}",
    summary="Change a pool",
    response_model=PoolShape,
    responses=errors(400, 404, 409, 422),
)
async def change(
    id_or_name: str,
    body: PoolChangeInput,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
) -> PoolShape:
    """Set what a pool's agents may send and how much it runs at once."""
    require_text("pool", id_or_name)
    found = await require_pool(services.catalogue, caller.ws, id_or_name)
    made = await change_pool(
        services.log,
        caller.ws,
        found.pool,
        actor=caller.actor,
        permits=body.permits,
        slots=body.slots,
    )
    tell_cursor(response, made.cursor)
    return await _pool(services, caller.ws, str(made.pool))


@router.get(
    "/agents", summary="List agents", response_model=AgentPage, responses=errors(400, 404, 422)
)
async def list_agents(
    caller: CallerDependency,
    services: ServicesDependency,
    pool: Annotated[
        str | None, Query(max_length=500, description="Id or name of their pool.")
    ] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> AgentPage:
    """List agents, last enrolled first, with whether they can be reached and what they hold."""
    require_text("pool", pool)
    found = await require_pool(services.catalogue, caller.ws, pool) if pool else None
    async with services.reads.workspace(caller.ws) as connection:
        page = await agents.list_agents(
            connection,
            caller.ws,
            pool_id=found.pool if found else None,
            cursor=cursor,
            limit=limit,
        )
    return AgentPage(items=[AgentShape.of(view) for view in page.items], next=page.next)


@router.get(
    "/agents/{agent_id}",
    summary="Show an agent",
    response_model=AgentShape,
    responses=errors(404, 422),
)
async def show_agent(
    agent_id: UUID, caller: CallerDependency, services: ServicesDependency
) -> AgentShape:
    """Show one agent."""
    async with services.reads.workspace(caller.ws) as connection:
        view = await agents.get_agent(connection, caller.ws, agent_id)
    if view is None:
        raise Missing(
            "There is no such agent in this workspace.", hint="List them with: headway agents ls"
        )
    return AgentShape.of(view)


@router.delete(
    "/agents/{agent_id}",
    status_code=204,
    summary="Revoke an agent",
    responses=errors(404, 409, 422),
)
async def revoke_agent(
    agent_id: UUID,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
    reason: Annotated[str, Query(max_length=200, description="Stands in the log.")] = "",
) -> None:
    """End an agent's identity: its stream is closed at once, and it can open no other. Its runs go to other agents, as after a loss."""
    command = RevokeAgent(agent_id, require_text("reason", reason) or "")
    done = await services.log.execute(caller.ws, command, actor=caller.actor)
    tell_cursor(response, done.cursor)


@router.post(
    "/enrolment-tokens",
    status_code=201,
    summary="Make an enrolment token",
    response_model=EnrolmentTokenShape,
    responses=errors(400, 404, 422),
)
async def make_token(
    body: EnrolmentTokenInput, caller: CallerDependency, services: ServicesDependency
) -> EnrolmentTokenShape:
    """Make a token that enrols one agent into a pool, within the hour. It is shown this once."""
    require_text("pool", body.pool)
    issued = await issue_enrolment_token(
        services.credentials,
        services.catalogue,
        services.entropy,
        services.clock,
        caller.ws,
        pool=body.pool,
    )
    return EnrolmentTokenShape(
        token=issued.text,
        pool=Reference(id=issued.pool, name=issued.pool_name),
        expires_at=issued.expires_at,
    )


async def _pool(services: Services, ws: int, id_or_name: str) -> PoolShape:
    require_text("pool", id_or_name)
    async with services.reads.workspace(ws) as connection:
        view = await pools.get_pool(connection, ws, id_or_name)
    if view is None:
        raise Missing(
            f"There is no pool {id_or_name!r} in this workspace.",
            hint="List them with: headway pools ls",
        )
    return PoolShape.of(view)
