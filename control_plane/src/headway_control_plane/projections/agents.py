"""Agents: who they are, whether they can be reached, how full they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, select, true

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import agent, attempt, pool, session
from headway_control_plane.projections.keyset import BadPageCursor, Edge, Page
from headway_control_plane.projections.reading import fetch


@dataclass(frozen=True, slots=True)
class AgentView:
    """`status`: connected, lost (out of reach, its lease ran out), offline, revoked. `held` counts its open attempts."""

    id: UUID
    name: str
    pool: UUID
    pool_name: str
    status: str
    host: str
    agent_version: str
    slots: int
    held: int
    enrolled_at: datetime
    connected_since: datetime | None
    lost_at: datetime | None
    revoked_at: datetime | None


async def list_agents(
    connection: Connection,
    ws: int,
    *,
    pool_id: UUID | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[AgentView]:
    """Return a page of agents, last enrolled first."""
    statement = _agents(ws).order_by(agent.c.agent.desc()).limit(limit + 1)
    if pool_id is not None:
        statement = statement.where(agent.c.pool == pool_id)
    if cursor:
        statement = statement.where(agent.c.agent < _agent_id(cursor))
    views = [_view(row) for row in await fetch(connection, statement)]
    more = len(views) > limit
    return Page(views[:limit], next=Edge(str(views[limit - 1].id)).encode() if more else None)


async def get_agent(connection: Connection, ws: int, agent_id: UUID) -> AgentView | None:
    """Return one agent."""
    rows = await fetch(connection, _agents(ws).where(agent.c.agent == agent_id))
    return _view(rows[0]) if rows else None


def _agents(ws: int) -> Select[Any]:
    # At most one session of an agent is not closed; should two overlap for a moment, the newest counts.
    newest = (
        select(session)
        .where(session.c.ws == ws, session.c.agent == agent.c.agent, session.c.status != "closed")
        .order_by(session.c.session.desc())
        .limit(1)
        .lateral("newest")
    )
    held = select(func.count()).where(
        attempt.c.ws == ws, attempt.c.session == newest.c.session, _is_open(attempt.c.status)
    )
    return (
        select(
            agent,
            pool.c.name.label("pool_name"),
            newest.c.status,
            newest.c.host,
            newest.c.agent_version,
            newest.c.slots,
            newest.c.opened_at,
            newest.c.lost_at,
            held.scalar_subquery().label("held"),
        )
        .select_from(
            agent.join(pool, and_(pool.c.ws == ws, pool.c.pool == agent.c.pool)).outerjoin(
                newest, true()
            )
        )
        .where(agent.c.ws == ws)
    )


def _is_open(status: ColumnElement[str]) -> ColumnElement[bool]:
    return status != "closed"


def _view(row: Mapping[str, Any]) -> AgentView:
    return AgentView(
        id=row["agent"],
        name=row["name"],
        pool=row["pool"],
        pool_name=row["pool_name"],
        status=_status(row),
        host=row["host"] or "",
        agent_version=row["agent_version"] or "",
        slots=row["slots"] or 0,
        held=row["held"],
        enrolled_at=row["enrolled_at"],
        connected_since=row["opened_at"],
        lost_at=row["lost_at"] if row["status"] == "lost" else None,
        revoked_at=row["revoked_at"],
    )


def _status(row: Mapping[str, Any]) -> str:
    if row["revoked_at"] is not None:
        return "revoked"
    return {"open": "connected", "lost": "lost"}.get(row["status"] or "", "offline")


def _agent_id(cursor: str) -> UUID:
    try:
        return UUID(Edge.decode(cursor).key)
    except ValueError:
        raise BadPageCursor from None
