"""Pools: what they permit, how full they are, what waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Subquery, func, select

from headway_control_plane.application.catalogue import NamedPool
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import pool, run, session, slot
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.domain.session.state import SessionStatus
from headway_control_plane.projections.keyset import Edge, Page
from headway_control_plane.projections.reading import fetch

WAITING_CAP = 10_000


@dataclass(frozen=True, slots=True)
class PoolView:
    """`slots` 0: as many as its agents have (`agent_slots`). `waiting` counts to a cap."""

    id: UUID
    name: str
    permits: tuple[str, ...]
    slots: int
    slots_taken: int
    agents: int
    agent_slots: int
    waiting: int
    created_at: datetime


async def list_pools(
    connection: Connection, ws: int, *, cursor: str | None = None, limit: int = 50
) -> Page[PoolView]:
    """Return a page of pools by name."""
    after = Edge.decode(cursor).key if cursor else None
    statement = _pools(ws).order_by(pool.c.name).limit(limit + 1)
    if after is not None:
        statement = statement.where(pool.c.name > after)
    views = [_view(row) for row in await fetch(connection, statement)]
    more = len(views) > limit
    return Page(views[:limit], next=Edge(views[limit - 1].name).encode() if more else None)


async def get_pool(connection: Connection, ws: int, id_or_name: str) -> PoolView | None:
    """Return one pool by id or name."""
    found = await fetch(connection, _pools(ws).where(_is(id_or_name)))
    return _view(found[0]) if found else None


async def find_pool(connection: Connection, ws: int, id_or_name: str) -> NamedPool | None:
    """Return a pool's id and name."""
    rows = await fetch(
        connection, select(pool.c.pool, pool.c.name).where(pool.c.ws == ws, _is(id_or_name))
    )
    return NamedPool(rows[0]["pool"], rows[0]["name"]) if rows else None


def _is(id_or_name: str) -> ColumnElement[bool]:
    pool_id = parse_id(id_or_name)
    return pool.c.name == id_or_name if pool_id is None else pool.c.pool == pool_id


def parse_id(text: str) -> UUID | None:
    """Return the id that a text is; None for what is meant as a name."""
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


def _pools(ws: int) -> Select[Any]:
    taken = select(func.count()).where(slot.c.ws == ws, slot.c.pool == pool.c.pool)
    live = (
        session.c.ws == ws,
        session.c.pool == pool.c.pool,
        session.c.status == str(SessionStatus.OPEN),
    )
    agents = select(func.count(func.distinct(session.c.agent))).where(*live)
    agent_slots = select(func.coalesce(func.sum(session.c.slots), 0)).where(*live)
    waiting = _waiting(ws)
    return (
        select(
            pool,
            taken.scalar_subquery().label("slots_taken"),
            agents.scalar_subquery().label("agents"),
            agent_slots.scalar_subquery().label("agent_slots"),
            func.coalesce(waiting.c.count, 0).label("waiting"),
        )
        .select_from(pool.outerjoin(waiting, waiting.c.pool == pool.c.pool))
        .where(pool.c.ws == ws)
    )


def _waiting(ws: int) -> Subquery:
    """Of the newest waiting runs, how many each pool has: their number is bounded whatever lies in the queue."""
    newest = (
        select(run.c.pool)
        .where(run.c.ws == ws, run.c.status == str(RunStatus.SCHEDULED))
        .order_by(run.c.run.desc())
        .limit(WAITING_CAP)
        .subquery()
    )
    return (
        select(newest.c.pool, func.count().label("count"))
        .group_by(newest.c.pool)
        .subquery("waiting")
    )


def _view(row: Mapping[str, Any]) -> PoolView:
    return PoolView(
        id=row["pool"],
        name=row["name"],
        permits=tuple(row["permits"]),
        slots=row["slots"],
        slots_taken=row["slots_taken"],
        agents=row["agents"],
        agent_slots=int(row["agent_slots"]),
        waiting=row["waiting"],
        created_at=row["created_at"],
    )
