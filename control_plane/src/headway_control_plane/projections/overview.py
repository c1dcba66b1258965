"""Small looks that pages need beside the lists: newest results of deployments, what a few letters may mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries
from headway_control_plane.domain.run.state import RunStatus

SQL = load_queries("headway_control_plane.projections", "overview.sql")


@dataclass(frozen=True, slots=True)
class RecentResult:
    """One of a deployment's newest runs."""

    run: UUID
    state: RunStatus
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def duration(self) -> timedelta | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


@dataclass(frozen=True, slots=True)
class Found:
    """Something whose name holds what was looked for."""

    kind: str
    name: str
    detail: str
    id: UUID | None


async def recent_results(
    connection: Connection, ws: int, deployments: Sequence[UUID], *, each: int = 8
) -> dict[UUID, list[RecentResult]]:
    """Return the newest runs of each deployment, oldest of them first."""
    if not deployments:
        return {}
    found = await connection.execute(
        SQL["recent_results"],
        {
            "ws": ws,
            "deployments": list(deployments),
            "statuses": [str(status) for status in RunStatus],
            "each": each,
        },
    )
    results: dict[UUID, list[RecentResult]] = {}
    for deployment, run, status, started_at, ended_at in await found.fetchall():
        recent = RecentResult(run, RunStatus(status), started_at, ended_at)
        results.setdefault(deployment, []).append(recent)
    return results


async def find(connection: Connection, ws: int, text: str, *, each: int = 8) -> list[Found]:
    """Return deployments, flows, pools and agents whose names hold a text, a few of each kind."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    found = await connection.execute(
        SQL["find"],
        {"ws": ws, "pattern": f"{escaped}%", "inner": f"%{escaped}%", "each": each},
    )
    return [Found(*row) for row in await found.fetchall()]


async def workspace_name(connection: Connection, ws: int) -> str:
    """Return the workspace's name."""
    row = await (await connection.execute(SQL["workspace_name"], {"ws": ws})).fetchone()
    return str(row[0]) if row else ""


async def last_line(connection: Connection, ws: int, run: UUID, fence: int) -> int:
    """Return the number of an attempt's last stored line of output, 0 when there is none."""
    found = await connection.execute(SQL["last_line"], {"ws": ws, "run": run, "fence": fence})
    row = await found.fetchone()
    return int(row[0]) if row else 0
