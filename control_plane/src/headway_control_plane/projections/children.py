"""Runs that a run has asked for, by the calls that did."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections.wishes import reason

SQL = load_queries("headway_control_plane.projections", "children.sql")


@dataclass(frozen=True, slots=True)
class ChildRun:
    """A run that a call has asked for. `run` is None as long as it was not made, or where it was `refused`: that is why, as a code.

    `deployment` is empty where the pool withholds it and no run was made.
    """

    call: bytes
    deployment: str
    requested_at: datetime
    refused: str
    run: UUID | None
    state: RunStatus | None
    ended_at: datetime | None
    is_new: bool  # among the newest that were asked for
    why: str = (
        ""  # it was refused, in words; empty of one that was refused before reasons were kept
    )

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None or bool(self.refused)


async def children_of(
    connection: Connection, ws: int, run: UUID, calls: Collection[bytes], *, newest: int
) -> dict[bytes, ChildRun]:
    """Return the runs that these calls have asked for, and the `newest` of all, in the order in which they were asked for."""
    key = {"ws": ws, "run": run, "calls": list(calls), "newest": newest}
    found = await connection.execute(SQL["children"], key)
    return {
        bytes(call): ChildRun(
            bytes(call), deployment, requested_at, refused, child,
            RunStatus(status) if status else None, ended_at, is_new, reason(refused, refusal),
        )
        for call, deployment, requested_at, refused, refusal, child, status, ended_at, is_new in await found.fetchall()
    }  # fmt: skip
