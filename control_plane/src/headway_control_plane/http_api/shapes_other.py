"""Shapes of deployments, pools, agents, keys and events."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from headway_control_plane.application.credentials import ApiKey
from headway_control_plane.domain.run.events import Isolation, OnLost
from headway_control_plane.http_api.shapes import (
    Count,
    Cursor,
    Input,
    PageShape,
    Reference,
    Shape,
    Timestamp,
)
from headway_control_plane.projections.agents import AgentView
from headway_control_plane.projections.deployments import DeploymentView
from headway_control_plane.projections.events import EventView
from headway_control_plane.projections.pools import PoolView


class DeploymentInput(Input):
    """What a deployment shall be, whole. Sending the same again changes nothing."""

    name: str = Field(examples=["nightly"])
    flow: str = Field(examples=["nightly-etl"])
    pool: str = Field(
        description="Id or name of the pool whose agents execute it.", examples=["local"]
    )
    environment: str = Field(
        default="default",
        description="Name in the agents' environments.toml.",
        examples=["default"],
    )
    entrypoint: str = Field(examples=["flows.etl:nightly"])
    code_hash: str = ""
    parameter_schema: dict[str, Any] = Field(
        default_factory=dict, description="JSON Schema (draft 2020-12) of a run's parameters."
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict, description="Merged under a run's parameters."
    )
    description: str = ""
    tags: list[str] = Field(default_factory=list, max_length=1000)
    retries: Count = 0
    retry_delay_ms: Count = 0
    on_lost: OnLost = Field(
        default=OnLost.RETRY, description="What becomes of a run whose agent is gone for good."
    )
    cancel_grace_ms: Count = Field(
        default=5_000, description="From the cooperative cancel to SIGTERM."
    )
    kill_grace_ms: Count = Field(default=5_000, description="From SIGTERM to SIGKILL.")
    isolation: Isolation = Field(
        default=Isolation.PROCESS,
        description="`process`: each run has a process of its own. `reuse`: a process takes run after run of the same code.",
    )
    max_runs_per_process: int | None = Field(
        default=None,
        description="With `reuse`: after so many runs a process ends; 1,000 if left out.",
    )
    max_memory_mb: int | None = Field(
        default=None,
        description="With `reuse`: a process that holds more memory (MiB) after a run ends; 1,024 if left out.",
    )
    flow_version: str = Field(
        default="",
        description="The flow's own word for the state of its code; its runs keep it.",
        examples=["2026.11"],
    )


class DeploymentItem(Shape):
    """A deployment in a list."""

    id: UUID
    version: int
    name: str
    flow: str
    pool: Reference
    environment: str
    entrypoint: str
    code_hash: str
    description: str
    tags: list[str]
    retries: int
    retry_delay_ms: int
    on_lost: str
    cancel_grace_ms: int
    kill_grace_ms: int
    isolation: str
    max_runs_per_process: int | None = Field(description="Null unless runs share a process.")
    max_memory_mb: int | None = Field(description="Null unless runs share a process.")
    flow_version: str = Field(description="As the flow says it; empty without one.")
    created_at: Timestamp
    deployed_at: Timestamp

    @classmethod
    def of(cls, view: DeploymentView) -> DeploymentItem:
        return cls(**_deployment(view))


class DeploymentShape(DeploymentItem):
    """One deployment."""

    parameter_schema: dict[str, Any]
    defaults: dict[str, Any]

    @classmethod
    def whole(cls, view: DeploymentView) -> DeploymentShape:
        return cls(
            **_deployment(view),
            parameter_schema=dict(view.parameter_schema or {}),
            defaults=dict(view.defaults or {}),
        )


class DeployedShape(DeploymentShape):
    """A deployment after a declaration. `changed` is false when it already was as declared."""

    created: bool
    changed: bool
    cursor: Cursor


def _deployment(view: DeploymentView) -> dict[str, Any]:
    return {
        "id": view.id,
        "version": view.version,
        "name": view.name,
        "flow": view.flow,
        "pool": Reference(id=view.pool, name=view.pool_name),
        "environment": view.environment,
        "entrypoint": view.entrypoint,
        "code_hash": view.code_hash,
        "description": view.description,
        "tags": list(view.tags),
        "retries": view.retries,
        "retry_delay_ms": view.retry_delay_ms,
        "on_lost": view.on_lost,
        "cancel_grace_ms": view.cancel_grace_ms,
        "kill_grace_ms": view.kill_grace_ms,
        "isolation": view.isolation or Isolation.PROCESS.value,
        "max_runs_per_process": view.max_runs_per_process or None,
        "max_memory_mb": view.max_memory_mb or None,
        "flow_version": view.flow_version,
        "created_at": view.created_at,
        "deployed_at": view.deployed_at,
    }


class PoolInput(Input):
    name: str = Field(examples=["gpu"])
    permits: list[str] | None = Field(
        default=None,
        max_length=100,
        description="Classes of data that its agents may send; left out: ids, timings, counters and the class of errors.",
        examples=[["id", "timing", "counter", "error_class", "name"]],
    )
    slots: Count = Field(
        default=0, description="Most open attempts over all its agents; 0: as many as they have."
    )


class PoolChangeInput(Input):
    permits: list[str] = Field(max_length=100)
    slots: Count


class PoolShape(Shape):
    id: UUID
    name: str
    permits: list[str]
    slots: int
    slots_taken: int
    agents: int = Field(description="Connected agents.")
    agent_slots: int = Field(description="Slots of the connected agents.")
    waiting: int = Field(
        description="Runs that wait for it, of the newest 10,000 that wait at all."
    )
    created_at: Timestamp

    @classmethod
    def of(cls, view: PoolView) -> PoolShape:
        return cls(
            id=view.id,
            name=view.name,
            permits=list(view.permits),
            slots=view.slots,
            slots_taken=view.slots_taken,
            agents=view.agents,
            agent_slots=view.agent_slots,
            waiting=view.waiting,
            created_at=view.created_at,
        )


class AgentShape(Shape):
    id: UUID
    name: str
    pool: Reference
    status: str = Field(description="connected, lost (out of reach), offline or revoked.")
    host: str
    agent_version: str
    slots: int
    held: int = Field(description="Open attempts that it holds.")
    enrolled_at: Timestamp
    connected_since: Timestamp | None
    lost_at: Timestamp | None
    revoked_at: Timestamp | None

    @classmethod
    def of(cls, view: AgentView) -> AgentShape:
        return cls(
            id=view.id,
            name=view.name,
            pool=Reference(id=view.pool, name=view.pool_name),
            status=view.status,
            host=view.host,
            agent_version=view.agent_version,
            slots=view.slots,
            held=view.held,
            enrolled_at=view.enrolled_at,
            connected_since=view.connected_since,
            lost_at=view.lost_at,
            revoked_at=view.revoked_at,
        )


class EnrolmentTokenInput(Input):
    pool: str = Field(
        description="Id or name of the pool that the agent will work for.", examples=["gpu"]
    )


class EnrolmentTokenShape(Shape):
    """Shown this once. It enrols one agent, within the hour."""

    token: str
    pool: Reference
    expires_at: Timestamp


class ApiKeyInput(Input):
    name: str = Field(min_length=1, max_length=1000, examples=["ci"])
    expires_in_days: Count = Field(default=365, description="1 to 366.")


class ApiKeyShape(Shape):
    id: str
    name: str
    created_at: Timestamp
    expires_at: Timestamp | None
    revoked_at: Timestamp | None

    @classmethod
    def of(cls, key: ApiKey) -> ApiKeyShape:
        return cls(
            id=key.id,
            name=key.name,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )


class IssuedKeyShape(Shape):
    """Shown this once."""

    id: str
    key: str
    name: str
    expires_at: Timestamp | None


class EventShape(Shape):
    """An event of the log. `data` holds its own fields; content that can be erased stands there by its digest."""

    cursor: Cursor
    type: str
    stream: str = Field(examples=["run/01975b4e-2f9a-7c31-b8d0-6a1f0c9d7e55"])
    version: int
    schema_version: int
    event_id: UUID
    occurred_at: Timestamp
    recorded_at: Timestamp
    actor: str
    causation: UUID | None
    traceparent: str
    data: dict[str, Any]
    summary: str
    chain: str = Field(description="Head of the hash chain at this event, hex.")

    @classmethod
    def of(cls, view: EventView) -> EventShape:
        return cls(
            cursor=view.cursor,
            type=view.type,
            stream=view.stream,
            version=view.version,
            schema_version=view.schema_version,
            event_id=view.event_id,
            occurred_at=view.occurred_at,
            recorded_at=view.recorded_at,
            actor=view.actor,
            causation=view.causation,
            traceparent=view.traceparent,
            data=dict(view.data),
            summary=view.summary,
            chain=view.chain,
        )


class EventsShape(Shape):
    items: list[EventShape]
    next: Cursor = Field(
        description="Goes into `after` for what follows, also when there is nothing yet."
    )


class HeadShape(Shape):
    """The end of the log and its hash chain: note it, and nobody can rewrite what lies before it unseen."""

    cursor: Cursor
    chain: str


class WhoShape(Shape):
    workspace: Reference
    actor: str
    name: str


class HealthShape(Shape):
    status: str


DeploymentPage = PageShape[DeploymentItem]
PoolPage = PageShape[PoolShape]
AgentPage = PageShape[AgentShape]
