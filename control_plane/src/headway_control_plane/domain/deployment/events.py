"""What can happen to a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from headway_control_plane.domain.run.events import Isolation, OnLost
from headway_control_plane.domain.streams import Blob


@dataclass(frozen=True, slots=True)
class DeploymentDeployed:
    """Created, or changed to exactly this. A deploy that changes nothing appends nothing."""

    name: str
    flow: str
    pool: UUID
    environment: str
    entrypoint: str
    code_hash: str
    parameter_schema: Blob  # JSON Schema of the parameters object
    defaults: Blob  # JSON object, merged under a run's parameters
    description: str
    tags: tuple[str, ...]
    retries: int
    retry_delay_ms: int
    on_lost: OnLost
    cancel_grace_ms: int
    kill_grace_ms: int
    # What follows stands in deployments whose runs share processes alone.
    isolation: Isolation | None = None
    max_runs_per_process: int = 0
    max_memory_mb: int = 0
    flow_version: str = ""  # the flow's own word for the state of its code


DeploymentEvent = DeploymentDeployed
