"""Reads the rows that scheduling needs, and writes why runs wait."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.dispatch.view import PoolRow, Rows, RunRow, SessionRow
from headway_control_plane.domain.dispatching_words import Wait

_SQL = load_queries("headway_control_plane.dispatch")


class DispatchRows:
    """The dispatcher's statements: over all workspaces, without a user's words."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def workspaces(self, shards: Collection[int]) -> tuple[dict[int, int], datetime | None]:
        """Return workspace -> shard, and the database's time if there was any row to carry it."""
        rows = await self._read("workspaces_of_shards", {"shards": list(shards)})
        return {ws: shard for ws, shard, _ in rows}, rows[0][2] if rows else None

    async def load(self, workspaces: Collection[int]) -> dict[int, Rows]:
        """Read everything of these workspaces, as of one moment, and end reasons that outlived their runs' waiting."""
        named = {"workspaces": list(workspaces)}
        loaded = {ws: Rows() for ws in workspaces}
        async with self._database.transaction(Role.DISPATCHER) as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            for ws, *pool in await _fetch(connection, "pools", named):
                loaded[ws].pools.append(PoolRow(*pool))
            for ws, *session in await _fetch(connection, "sessions", named):
                loaded[ws].sessions.append(SessionRow(*session))
            for ws, *run in await _fetch(connection, "runs", named):
                loaded[ws].runs.append(RunRow(*run))
        async with self._database.transaction(Role.DISPATCHER) as connection:
            await connection.execute(_SQL["close_idle_waits"], named)
        return loaded

    async def runs(self, named: Iterable[tuple[int, UUID]]) -> dict[int, list[RunRow]]:
        found: dict[int, list[RunRow]] = {}
        keys = list(named)
        parameters = {"workspaces": [ws for ws, _ in keys], "runs": [run for _, run in keys]}
        for ws, *run in await self._read("single_runs", parameters):
            found.setdefault(ws, []).append(RunRow(*run))
        return found

    async def sessions(
        self, named: Iterable[tuple[int, UUID]]
    ) -> dict[tuple[int, UUID], SessionRow]:
        keys = list(named)
        parameters = {"workspaces": [ws for ws, _ in keys], "sessions": [s for _, s in keys]}
        rows = await self._read("single_sessions", parameters)
        return {(ws, session[0]): SessionRow(*session) for ws, *session in rows}

    async def write_waits(self, waits: Sequence[Wait]) -> None:
        """Write changed reasons. Later ones of the same run win."""
        latest = {(wait.ws, wait.run): wait for wait in waits}
        told = [latest[key] for key in sorted(latest, key=lambda k: (k[0], k[1].int))]
        parameters = {
            "workspaces": [wait.ws for wait in told],
            "runs": [wait.run for wait in told],
            "reasons": [wait.reason for wait in told],
            "objects": [wait.object for wait in told],
        }
        async with self._database.transaction(Role.DISPATCHER) as connection, connection.pipeline():
            await connection.execute(_SQL["close_waits"], parameters)
            await connection.execute(_SQL["open_waits"], parameters)

    async def _read(self, name: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._database.statements(Role.DISPATCHER) as connection:
            return await _fetch(connection, name, parameters)


async def _fetch(
    connection: Connection, name: str, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(_SQL[name], parameters)
    return await cursor.fetchall()
