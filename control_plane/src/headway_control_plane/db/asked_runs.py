"""Reads what the calls of a line of runs have asked for: the preview and the agent are told of the same rows."""

from __future__ import annotations

from uuid import UUID

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries
from headway_control_plane.domain.run.asked import AskedRun

MOST_ASKED = 20_000
"""What an Assign can carry."""
_SQL = load_queries("headway_control_plane.db", "asked_runs.sql")


async def read_asked(connection: Connection, ws: int, run: UUID) -> list[AskedRun]:
    """Of a run and of those that it was made from, the oldest first."""
    key = {"ws": ws, "run": run, "most": MOST_ASKED}
    rows = await (await connection.execute(_SQL["asked"], key)).fetchall()
    return [
        AskedRun(parent, bytes(call), asked, deployment, bytes(parameters), *rest)
        for parent, call, asked, deployment, parameters, *rest in rows
    ]
