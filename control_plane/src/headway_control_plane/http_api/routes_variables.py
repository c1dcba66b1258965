"""Operations on the workspace's variables."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from headway_control_plane.application.errors import Missing
from headway_control_plane.application.variables import set_variable, unset_variable
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import (
    PageCursor,
    PageLimit,
    errors,
    require_text,
    tell_cursor,
)
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes_variables import (
    VariableChange,
    VariableHistory,
    VariableInput,
    VariablePage,
    VariableShape,
)
from headway_control_plane.projections import variables

router = APIRouter(tags=["variables"])

IfVersion = Annotated[
    int | None, Query(ge=1, description="Only if the variable has this version now; else 409.")
]


@router.post(
    "/variables",
    summary="Set a variable",
    response_model=VariableShape,
    responses=errors(400, 409, 413, 422),
)
async def set_one(
    body: VariableInput, response: Response, caller: CallerDependency, services: ServicesDependency
) -> VariableShape:
    """Make the variable of this name, or change it. Every run that is created after the answer sees it."""
    done = await set_variable(
        services.log,
        caller.ws,
        actor=caller.actor,
        name=body.name,
        value=body.value,
        tags=body.tags,
        if_version=body.if_version,
    )
    tell_cursor(response, done.cursor)
    return await _variable(services, caller.ws, body.name)


@router.get(
    "/variables",
    summary="List variables by name",
    response_model=VariablePage,
    responses=errors(400, 422),
)
async def list_variables(
    caller: CallerDependency,
    services: ServicesDependency,
    tag: Annotated[str | None, Query(max_length=200)] = None,
    prefix: Annotated[str | None, Query(max_length=200, description="Of the name.")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> VariablePage:
    """List variables with their values."""
    require_text("tag", tag)
    require_text("prefix", prefix)
    async with services.reads.workspace(caller.ws) as connection:
        page = await variables.list_variables(
            connection, caller.ws, tag=tag, prefix=prefix, cursor=cursor, limit=limit
        )
    return VariablePage(items=[VariableShape.of(view) for view in page.items], next=page.next)


@router.get(
    "/variables/{name}",
    summary="Show a variable",
    response_model=VariableShape,
    responses=errors(404, 422),
)
async def show(name: str, caller: CallerDependency, services: ServicesDependency) -> VariableShape:
    """Show one variable."""
    return await _variable(services, caller.ws, name)


@router.get(
    "/variables/{name}/history",
    summary="Show who changed a variable",
    response_model=VariableHistory,
    responses=errors(404, 422),
)
async def show_history(
    name: str, caller: CallerDependency, services: ServicesDependency, limit: PageLimit = 50
) -> VariableHistory:
    """Show what people and runs did to it, among the last thousand changes of all variables; also of one that was unset."""
    require_text("name", name)
    async with services.reads.workspace(caller.ws) as connection:
        version = await variables.version_of(connection, caller.ws)
    changes = await variables.history(services.reader, caller.ws, version, name=name, limit=limit)
    if not changes:
        raise Missing(
            "Nobody has changed a variable of this name among the last 1,000 changes of all.",
            hint="List those that are there with: headway variables ls",
        )
    return VariableHistory(items=[VariableChange.of(change) for change in changes])


@router.delete(
    "/variables/{name}",
    status_code=204,
    summary="Unset a variable",
    responses=errors(404, 409, 422),
)
async def unset(
    name: str,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
    if_version: IfVersion = None,
) -> None:
    """Take a variable away. Attempts that have begun keep what they were given."""
    done = await unset_variable(
        services.log, caller.ws, actor=caller.actor, name=name, if_version=if_version
    )
    tell_cursor(response, done.cursor)


async def _variable(services: Services, ws: int, name: str) -> VariableShape:
    require_text("name", name)
    async with services.reads.workspace(ws) as connection:
        view = await variables.get_variable(connection, ws, name)
    if view is None:
        raise Missing(
            f"There is no variable {name!r} in this workspace.",
            hint="List them with: headway variables ls",
        )
    return VariableShape.of(view)
