"""Pools and agents: why is nothing running?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.agents import AgentView, list_agents
from headway_control_plane.projections.pools import WAITING_CAP, PoolView, list_pools
from headway_control_plane.ui import words
from headway_control_plane.ui.pages.site import PROJECTION, Site
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views.axis import percent
from headway_control_plane.ui.views.parts import link
from headway_control_plane.ui.words import Moment, moment

PAGE = 100


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool as a line: what it holds, what waits, and why."""

    name: str
    answer: str
    trouble: bool
    agents: str
    used: str
    filled: str
    waiting: str
    permits: str


def pool_row(view: PoolView) -> PoolRow:
    """Shape a pool. The first words say whether its runs move."""
    limit = min(view.slots or view.agent_slots, view.agent_slots)
    trouble = view.agents == 0
    if trouble:
        answer = "no agent is connected"
    elif view.waiting and view.slots_taken >= limit:
        answer = "all slots are taken"
    elif view.waiting:
        answer = "runs are being handed out"
    else:
        answer = "nothing waits"
    return PoolRow(
        name=view.name,
        answer=answer,
        trouble=trouble,
        agents=words.plural(view.agents, "agent"),
        used=f"{view.slots_taken} of {limit}" + (f" (limit {view.slots})" if view.slots else ""),
        filled=percent(min(100.0, 100 * view.slots_taken / limit) if limit else 0.0),
        waiting=words.count(view.waiting, limit=WAITING_CAP - 1),
        permits=", ".join(view.permits) or "ids, timings, counters, error class only",
    )


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent as a line."""

    name: str
    state: str
    icon: str
    status: str
    answer: str
    since: Moment | None
    pool: str
    used: str
    host: str
    version: str
    trouble: bool


_LOOKS = {
    "connected": ("open", "completed"),
    "lost": ("lost", "failed"),
    "offline": ("closed", "scheduled"),
    "revoked": ("closed", "cancelled"),
}


def agent_row(view: AgentView, now: datetime) -> AgentRow:
    """Shape an agent."""
    state, icon = _LOOKS[view.status]
    since = {
        "connected": view.connected_since,
        "lost": view.lost_at,
        "offline": view.enrolled_at,
        "revoked": view.revoked_at,
    }[view.status]
    answers = {
        "connected": "connected",
        "lost": "out of reach: its runs go on there if they can",
        "offline": "not connected; enrolled",
        "revoked": "its identity was revoked",
    }
    return AgentRow(
        name=view.name,
        state=state,
        icon=icon,
        status=view.status,
        answer=answers[view.status],
        since=moment(since, now) if since else None,
        pool=view.pool_name,
        used=f"{view.held} of {view.slots}" if view.slots or view.held else "",
        host=view.host,
        version=view.agent_version,
        trouble=view.status == "lost",
    )


async def agents_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show pools and agents."""
    now = site.services.clock.now()
    async with site.services.reads.workspace(viewer.ws) as connection:
        pools = await list_pools(connection, viewer.ws, limit=PAGE)
        agents = await list_agents(
            connection, viewer.ws, cursor=request.query_params.get("after"), limit=PAGE
        )
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    values = {
        "pools": [pool_row(view) for view in pools.items],
        "agents": [agent_row(view, now) for view in agents.items],
        "next": link("/agents", {"after": agents.next}) if agents.next else None,
        "live": "agents",
    }
    return await site.show(request, viewer, "agents.html", values, freshness=freshness)
