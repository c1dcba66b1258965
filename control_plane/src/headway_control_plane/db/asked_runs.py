"""Reads what the calls of a line of runs have asked for: the preview and the agent are told of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries
from headway_control_plane.domain.run.asked import AskedRun

MOST_ASKED = 20_000
"""What an Assign can carry."""
_SQL = load_queries("headway_control_plane.db", "asked_runs.sql")


@dataclass(frozen=True, slots=True)
class AskedRuns:
    """The oldest first. `cut`: there are more than are told."""

    runs: Sequence[AskedRun] = ()
    cut: bool = False


async def read_asked(connection: Connection, ws: int, run: UUID) -> AskedRuns:
    """Of a run and of those that it was made from."""
    key = {"ws": ws, "run": run, "most": MOST_ASKED + 1}
    rows = await (await connection.execute(_SQL["asked"], key)).fetchall()
    runs = [
        AskedRun(parent, bytes(call), asked, deployment, bytes(parameters), *rest)
        for parent, call, asked, deployment, parameters, *rest in rows[:MOST_ASKED]
    ]
    return AskedRuns(runs, cut=len(rows) > MOST_ASKED)
