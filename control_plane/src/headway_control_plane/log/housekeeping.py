"""Bounded pieces of work that keep the log's tables in shape; `background.service` repeats them."""

from __future__ import annotations

from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.log.segments import Segments

_SQL = load_queries("headway_control_plane.log", "housekeeping.sql")
_BATCH = 1_000


class MakeSegments:
    """Makes day segments ahead. Asked each hour, so that a day's failures leave a week to notice them."""

    name = "segments"
    interval = 3600.0

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    async def run_once(self) -> bool:
        await self._segments.ensure()
        return False


class ForgetKeys:
    """Deletes idempotency keys whose time is over. A key that is still there then already counts as free."""

    name = "idempotency keys"
    interval = 600.0

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run_once(self) -> bool:
        async with self._database.transaction(Role.DISPATCHER) as connection:
            found = await connection.execute(_SQL["workspaces"])
            workspaces = [ws for (ws,) in await found.fetchall()]
        async with self._database.transaction(Role.COMMITTER, workspaces=workspaces) as connection:
            forgotten = await connection.execute(_SQL["forget_keys"], [_BATCH])
        return forgotten.rowcount == _BATCH
