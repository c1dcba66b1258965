"""Operations on the server itself and on who may call it."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Response

from headway_control_plane.application.api_keys import issue_api_key, revoke_api_key
from headway_control_plane.application.ports import UnknownWorkspace
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import errors, require_text
from headway_control_plane.http_api.shapes import ProblemShape, Reference
from headway_control_plane.http_api.shapes_other import (
    ApiKeyInput,
    ApiKeyShape,
    HeadShape,
    HealthShape,
    IssuedKeyShape,
    WhoShape,
)

router = APIRouter()


@router.get("/health", tags=["server"], summary="Is the process alive?", response_model=HealthShape)
async def health() -> HealthShape:
    """Answer without touching anything else."""
    return HealthShape(status="alive")


@router.get(
    "/ready",
    tags=["server"],
    summary="Can it serve?",
    response_model=HealthShape,
    responses={
        503: {"model": ProblemShape, "description": "Draining, or the database is out of reach."}
    },
)
async def ready(services: ServicesDependency, response: Response) -> HealthShape:
    """Answer 200 once the database is reachable, and 503 while the process drains."""
    if services.closing.is_set() or not await services.is_ready():
        response.status_code = 503
        return HealthShape(status="not ready")
    return HealthShape(status="ready")


@router.get(
    "/whoami", tags=["server"], summary="Who am I?", response_model=WhoShape, responses=errors()
)
async def whoami(caller: CallerDependency, services: ServicesDependency) -> WhoShape:
    """Name the workspace that the credential is of."""
    workspace = await services.credentials.workspace(caller.ws)
    if workspace is None:
        raise UnknownWorkspace(caller.ws)
    return WhoShape(
        workspace=Reference(id=workspace.id, name=workspace.name),
        actor=caller.actor,
        name=caller.name,
    )


@router.get(
    "/log/head",
    tags=["events"],
    summary="Where the log ends",
    response_model=HeadShape,
    responses=errors(),
)
async def log_head(caller: CallerDependency, services: ServicesDependency) -> HeadShape:
    """Return the newest offset and the head of the hash chain there."""
    witness = await services.reader.head(caller.ws)
    return HeadShape(cursor=str(witness.cursor), chain=witness.chain.hex())


@router.get(
    "/api-keys",
    tags=["keys"],
    summary="List API keys",
    response_model=list[ApiKeyShape],
    responses=errors(),
)
async def list_keys(caller: CallerDependency, services: ServicesDependency) -> list[ApiKeyShape]:
    """List the workspace's keys, newest first, without their secrets."""
    return [ApiKeyShape.of(key) for key in await services.credentials.api_keys(caller.ws)]


@router.post(
    "/api-keys",
    tags=["keys"],
    status_code=201,
    summary="Issue an API key",
    response_model=IssuedKeyShape,
    responses=errors(400, 422),
)
async def issue_key(
    body: ApiKeyInput, caller: CallerDependency, services: ServicesDependency
) -> IssuedKeyShape:
    """Issue a key of this workspace. It is shown this once; only its hash is kept."""
    issued = await issue_api_key(
        services.credentials,
        services.entropy,
        services.clock,
        caller.ws,
        name=body.name,
        lives=timedelta(days=min(max(body.expires_in_days, -1), 10_000)),
    )
    return IssuedKeyShape(
        id=issued.id, key=issued.text, name=issued.name, expires_at=issued.expires_at
    )


@router.delete(
    "/api-keys/{key_id}",
    tags=["keys"],
    status_code=204,
    summary="Revoke an API key",
    responses=errors(404, 422),
)
async def revoke_key(key_id: str, caller: CallerDependency, services: ServicesDependency) -> None:
    """End a key at once."""
    await revoke_api_key(
        services.credentials, services.clock, caller.ws, require_text("key", key_id) or ""
    )
