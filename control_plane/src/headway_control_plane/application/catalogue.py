"""What use cases look up by id or name before they decide: deployments and pools of a workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from headway_control_plane.application.errors import Missing


@dataclass(frozen=True, slots=True)
class DeployedFlow:
    """A deployment as last deployed, with the contents that a run's parameters are checked against."""

    deployment: UUID
    version: int
    name: str
    pool_name: str
    parameter_schema: bytes
    defaults: bytes
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class NamedPool:
    pool: UUID
    name: str


class Catalogue(Protocol):
    """Reads rows that are never behind the log."""

    async def deployment(
        self, ws: int, id_or_name: str, *, remembered: bool = False
    ) -> DeployedFlow | None:
        """Find a deployment. `remembered`: as it was when it was last looked up will do."""
        ...

    async def pool(self, ws: int, id_or_name: str) -> NamedPool | None: ...


async def require_deployment(
    catalogue: Catalogue, ws: int, id_or_name: str, *, remembered: bool = False
) -> DeployedFlow:
    """Return the deployment or refuse with the step that helps."""
    found = await catalogue.deployment(ws, id_or_name, remembered=remembered)
    if found is None:
        raise Missing(
            f"There is no deployment {id_or_name!r} in this workspace.",
            hint="List them with: headway deployments ls; make one with: headway deploy MODULE:FLOW",
        )
    return found


async def require_pool(catalogue: Catalogue, ws: int, id_or_name: str) -> NamedPool:
    """Return the pool or refuse with the step that helps."""
    found = await catalogue.pool(ws, id_or_name)
    if found is None:
        raise Missing(
            f"There is no pool {id_or_name!r} in this workspace.",
            hint=f"List them with: headway pools ls; make it with: headway pools create {id_or_name}",
        )
    return found
