"""A deployment, folded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headway_control_plane.domain.deployment.events import DeploymentDeployed


@dataclass(frozen=True, slots=True)
class DeploymentState:
    deployment: UUID
    version: int
    spec: DeploymentDeployed  # as last deployed
    created_at: datetime
    deployed_at: datetime
