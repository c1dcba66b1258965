"""Operations on deployments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from headway_control_plane.application.deploy import Declaration, deploy
from headway_control_plane.application.errors import Missing
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import (
    PageCursor,
    PageLimit,
    errors,
    require_text,
    tell_cursor,
)
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes_other import (
    DeployedShape,
    DeploymentInput,
    DeploymentItem,
    DeploymentPage,
    DeploymentShape,
)
from headway_control_plane.projections import deployments

router = APIRouter(prefix="/deployments", tags=["deployments"])


@router.post(
    "",
    summary="Deploy",
    status_code=201,
    response_model=DeployedShape,
    responses=errors(400, 404, 409, 413, 422)
    | {
        200: {
            "model": DeployedShape,
            "description": "It existed; `changed` says whether it differed.",
        }
    },
)
async def declare(
    body: DeploymentInput,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
) -> DeployedShape:
    """Declare a deployment, whole. Created, changed to exactly this, or left as it is; runs keep what they were created with."""
    done = await deploy(
        services.log,
        services.catalogue,
        services.ids,
        caller.ws,
        actor=caller.actor,
        declaration=Declaration(**body.model_dump()),
    )
    if not done.created:
        response.status_code = 200
    tell_cursor(response, done.cursor)
    shape = await _shape(services, caller.ws, str(done.deployment))
    return DeployedShape(
        **shape.model_dump(), created=done.created, changed=done.changed, cursor=str(done.cursor)
    )


@router.get(
    "",
    summary="List deployments by name",
    response_model=DeploymentPage,
    responses=errors(400, 422),
)
async def list_all(
    caller: CallerDependency,
    services: ServicesDependency,
    flow: Annotated[str | None, Query(max_length=500)] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> DeploymentPage:
    """List what can be run."""
    async with services.reads.workspace(caller.ws) as connection:
        page = await deployments.list_deployments(
            connection, caller.ws, flow=require_text("flow", flow), cursor=cursor, limit=limit
        )
    return DeploymentPage(items=[DeploymentItem.of(view) for view in page.items], next=page.next)


@router.get(
    "/{id_or_name}",
    summary="Show a deployment",
    response_model=DeploymentShape,
    responses=errors(404, 422),
)
async def show(
    id_or_name: str, caller: CallerDependency, services: ServicesDependency
) -> DeploymentShape:
    """Show a deployment with the schema of its parameters."""
    return await _shape(services, caller.ws, id_or_name)


async def _shape(services: Services, ws: int, id_or_name: str) -> DeploymentShape:
    require_text("deployment", id_or_name)
    async with services.reads.workspace(ws) as connection:
        view = await deployments.get_deployment(connection, ws, id_or_name)
    if view is None:
        raise Missing(
            f"There is no deployment {id_or_name!r} in this workspace.",
            hint="List them with: headway deployments ls",
        )
    return DeploymentShape.whole(view)
