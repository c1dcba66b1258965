"""The rows of what people declare: `pool`, `deployment`, `agent`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headway_control_plane.domain.agent.state import AgentState
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.deployment.state import DeploymentState
from headway_control_plane.domain.pool.state import PoolState
from headway_control_plane.domain.run.events import Isolation, OnLost
from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.row_table import RowTable, by_key, unnest

_POOL = {
    "pool": "uuid",
    "version": "int8",
    "name": "text",
    "permits": "texts",
    "slots": "int4",
    "created_at": "instant",
}
POOLS = RowTable("pool", ("ws", "pool"), {"ws": "int8"} | _POOL, fixed=("name", "created_at"))
_POOL_KEYS = unnest(("int8", "uuid"))
# A session's, a deployment's and an agent's pool come along.
LOAD_POOLS = (
    "SELECT p.ws, p.pool, p.version, p.name, p.permits, p.slots, "  # noqa: S608 - constants
    "(SELECT count(*) FROM slot t WHERE t.ws = p.ws AND t.pool = p.pool), p.created_at "
    f"FROM (SELECT ws, id FROM {_POOL_KEYS} AS k (ws, id)"
    f" UNION SELECT s.ws, s.pool FROM {_POOL_KEYS} AS k (ws, id) CROSS JOIN {by_key('session', 's', ws='k.ws', session='k.id')}"
    f" UNION SELECT d.ws, d.pool FROM {_POOL_KEYS} AS k (ws, id) CROSS JOIN {by_key('deployment', 'd', ws='k.ws', deployment='k.id')}"
    f" UNION SELECT a.ws, a.pool FROM {_POOL_KEYS} AS k (ws, id) CROSS JOIN {by_key('agent', 'a', ws='k.ws', agent='k.id')}"
    f") w CROSS JOIN {by_key('pool', 'p', ws='w.ws', pool='w.id')}"
)

_DEPLOYMENT = {
    "name": "text",
    "flow": "text",
    "pool": "uuid",
    "environment": "text",
    "entrypoint": "text",
    "code_hash": "text",
    "parameter_schema": "bytes",
    "defaults": "bytes",
    "description": "text",
    "tags": "texts",
    "retries": "int4",
    "retry_delay_ms": "int8",
    "on_lost": "text",
    "cancel_grace_ms": "int8",
    "kill_grace_ms": "int8",
    "isolation": "text",
    "max_runs_per_process": "int4",
    "max_memory_mb": "int4",
    "flow_version": "text",
}
DEPLOYMENTS = RowTable(
    "deployment",
    ("ws", "deployment"),
    {
        "ws": "int8",
        "deployment": "uuid",
        "version": "int8",
        **_DEPLOYMENT,
        "created_at": "instant",
        "deployed_at": "instant",
    },
    fixed=("name", "created_at"),
)
LOAD_DEPLOYMENTS = (
    f"SELECT d.ws, d.deployment, d.version, d.created_at, d.deployed_at, {', '.join(f'd.{c}' for c in _DEPLOYMENT)} "  # noqa: S608 - constants
    f"FROM {unnest(('int8', 'uuid'))} AS k (ws, id) CROSS JOIN {by_key('deployment', 'd', ws='k.ws', deployment='k.id')}"
)

_AGENT = {
    "agent": "uuid",
    "version": "int8",
    "name": "text",
    "pool": "uuid",
    "public_key": "bytes",
    "enrolled_at": "instant",
    "revoked_at": "instant",
}
AGENTS = RowTable(
    "agent",
    ("ws", "agent"),
    {"ws": "int8"} | _AGENT,
    fixed=("name", "pool", "public_key", "enrolled_at"),
)
LOAD_AGENTS = (
    f"SELECT a.ws, {', '.join(f'a.{c}' for c in _AGENT)} "  # noqa: S608 - constants
    f"FROM {unnest(('int8', 'uuid'))} AS k (ws, id) CROSS JOIN {by_key('agent', 'a', ws='k.ws', agent='k.id')}"
)


def read_pool(row: Sequence[Any]) -> PoolState:
    _, pool, version, name, permits, slots, slots_taken, created_at = row
    return PoolState(pool, version, name, tuple(permits), slots, slots_taken, created_at)


def pool_row(ws: int, pool: PoolState) -> tuple[Any, ...]:
    return ws, *(getattr(pool, column) for column in _POOL)


def read_deployment(row: Sequence[Any]) -> DeploymentState:
    _, deployment, version, created_at, deployed_at, *rest = row
    values = dict(zip(_DEPLOYMENT, rest, strict=True))
    values["parameter_schema"] = Blob(values["parameter_schema"])
    values["defaults"] = Blob(values["defaults"])
    values["tags"] = tuple(values["tags"])
    values["on_lost"] = OnLost(values["on_lost"])
    values["isolation"] = Isolation(values["isolation"]) if values["isolation"] else None
    return DeploymentState(
        deployment, version, DeploymentDeployed(**values), created_at, deployed_at
    )


def deployment_row(ws: int, state: DeploymentState) -> tuple[Any, ...]:
    spec = [getattr(state.spec, column) for column in _DEPLOYMENT]
    plain = [value.digest if isinstance(value, Blob) else value for value in spec]
    return ws, state.deployment, state.version, *plain, state.created_at, state.deployed_at


def read_agent(row: Sequence[Any]) -> AgentState:
    return AgentState(*row[1:])


def agent_row(ws: int, agent: AgentState) -> tuple[Any, ...]:
    return ws, *(getattr(agent, column) for column in _AGENT)
