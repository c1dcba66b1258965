"""Deployments: what can be run, and how their newest runs went."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    LargeBinary,
    Select,
    and_,
    bindparam,
    func,
    literal,
    select,
)

from headway_control_plane.application.catalogue import DeployedFlow
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import deployment, payload, pool
from headway_control_plane.projections.keyset import Edge, Page
from headway_control_plane.projections.pools import parse_id
from headway_control_plane.projections.reading import Prepared, fetch


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A deployment as last deployed. `parameter_schema` and `defaults` are read for one deployment, not in lists."""

    id: UUID
    version: int
    name: str
    flow: str
    pool: UUID
    pool_name: str
    environment: str
    entrypoint: str
    code_hash: str
    description: str
    tags: tuple[str, ...]
    retries: int
    retry_delay_ms: int
    on_lost: str
    cancel_grace_ms: int
    kill_grace_ms: int
    isolation: str | None  # None: each run has a process of its own
    max_runs_per_process: int
    max_memory_mb: int
    flow_version: str
    created_at: datetime
    deployed_at: datetime
    parameter_schema: Mapping[str, Any] | None = None
    defaults: Mapping[str, Any] | None = None


async def list_deployments(
    connection: Connection,
    ws: int,
    *,
    flow: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[DeploymentView]:
    """Return a page of deployments by name."""
    statement = _deployments(ws).order_by(deployment.c.name).limit(limit + 1)
    if flow is not None:
        statement = statement.where(deployment.c.flow == flow)
    if cursor:
        statement = statement.where(deployment.c.name > Edge.decode(cursor).key)
    views = [_view(row) for row in await fetch(connection, statement)]
    more = len(views) > limit
    return Page(views[:limit], next=Edge(views[limit - 1].name).encode() if more else None)


async def get_deployment(connection: Connection, ws: int, id_or_name: str) -> DeploymentView | None:
    """Return one deployment by id or name, with its schema and defaults."""
    rows = await fetch(connection, _deployments(ws).where(_is(id_or_name)))
    if not rows:
        return None
    [row] = rows
    contents = await _contents(connection, ws, [row["parameter_schema"], row["defaults"]])
    return _view(
        row,
        parameter_schema=json.loads(contents.get(row["parameter_schema"], b"{}")),
        defaults=json.loads(contents.get(row["defaults"], b"{}")),
    )


async def find_deployment(connection: Connection, ws: int, id_or_name: str) -> DeployedFlow | None:
    """Return what a new run of the deployment is checked against."""
    id_ = parse_id(id_or_name)
    if id_ is None:
        rows = await fetch(connection, _FOUND_BY_NAME, ws=ws, name=id_or_name)
    else:
        rows = await fetch(connection, _FOUND_BY_ID, ws=ws, id=id_)
    return DeployedFlow(**rows[0]) if rows else None


def _found(key: ColumnElement[bool]) -> Prepared:
    schema, defaults = payload.alias("schema"), payload.alias("defaults")
    nothing = literal(b"{}", LargeBinary())
    return Prepared(
        select(
            deployment.c.deployment,
            deployment.c.version,
            deployment.c.name,
            pool.c.name.label("pool_name"),
            func.coalesce(schema.c.bytes, nothing).label("parameter_schema"),
            func.coalesce(defaults.c.bytes, nothing).label("defaults"),
            deployment.c.tags,
        )
        .select_from(
            deployment.join(
                pool, and_(pool.c.ws == deployment.c.ws, pool.c.pool == deployment.c.pool)
            )
            .outerjoin(schema, _content(schema, deployment.c.parameter_schema))
            .outerjoin(defaults, _content(defaults, deployment.c.defaults))
        )
        .where(deployment.c.ws == bindparam("ws"), key)
    )


def _content(contents: FromClause, digest: ColumnElement[bytes]) -> ColumnElement[bool]:
    return and_(contents.c.ws == deployment.c.ws, contents.c.digest == digest)


_FOUND_BY_NAME = _found(deployment.c.name == bindparam("name"))
_FOUND_BY_ID = _found(deployment.c.deployment == bindparam("id"))


async def _contents(
    connection: Connection, ws: int, digests: Sequence[bytes]
) -> dict[bytes, bytes]:
    rows = await fetch(
        connection,
        select(payload.c.digest, payload.c.bytes).where(
            payload.c.ws == ws, payload.c.digest.in_(digests)
        ),
    )
    return {row["digest"]: row["bytes"] for row in rows}


def _is(id_or_name: str) -> ColumnElement[bool]:
    found = parse_id(id_or_name)
    return deployment.c.name == id_or_name if found is None else deployment.c.deployment == found


def _deployments(ws: int) -> Select[Any]:
    return (
        select(deployment, pool.c.name.label("pool_name"))
        .select_from(deployment.join(pool, and_(pool.c.ws == ws, pool.c.pool == deployment.c.pool)))
        .where(deployment.c.ws == ws)
    )


def _view(
    row: Mapping[str, Any],
    *,
    parameter_schema: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> DeploymentView:
    return DeploymentView(
        id=row["deployment"],
        version=row["version"],
        name=row["name"],
        flow=row["flow"],
        pool=row["pool"],
        pool_name=row["pool_name"],
        environment=row["environment"],
        entrypoint=row["entrypoint"],
        code_hash=row["code_hash"],
        description=row["description"],
        tags=tuple(row["tags"]),
        retries=row["retries"],
        retry_delay_ms=row["retry_delay_ms"],
        on_lost=row["on_lost"],
        cancel_grace_ms=row["cancel_grace_ms"],
        kill_grace_ms=row["kill_grace_ms"],
        isolation=row["isolation"],
        max_runs_per_process=row["max_runs_per_process"],
        max_memory_mb=row["max_memory_mb"],
        flow_version=row["flow_version"],
        created_at=row["created_at"],
        deployed_at=row["deployed_at"],
        parameter_schema=parameter_schema,
        defaults=defaults,
    )
