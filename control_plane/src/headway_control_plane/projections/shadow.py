"""A second version of a read model beside the live one: made from the log, dropped whole. Rebuild and verify stand on it."""

from __future__ import annotations

from collections.abc import Sequence

from headway_control_plane.application.ports import LogReader
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.advance import BATCH, Step, advance, drop_rows
from headway_control_plane.projections.read_model import ReadModel

_DROP_AT_ONCE = 5000


async def active_version(database: Database, model: ReadModel) -> int:
    """Return the version that is read."""
    async with database.transaction(Role.PROJECTOR) as connection:
        key = {"projection": model.name}
        await connection.execute(checkpoints.SQL["activate"], key)
        row = await (await connection.execute(checkpoints.SQL["active_version"], key)).fetchone()
    assert row is not None, "activate has made the row"
    return int(row[0])


async def next_version(database: Database, model: ReadModel, workspaces: Sequence[int]) -> int:
    """Return a version that has left no trace in these workspaces."""
    active = await active_version(database, model)
    async with database.transaction(Role.PROJECTOR, workspaces=workspaces) as connection:
        key = {"projection": model.name}
        row = await (await connection.execute(checkpoints.SQL["newest_version"], key)).fetchone()
    return max(active, (row[0] if row else None) or 0) + 1


async def all_workspaces(database: Database) -> list[int]:
    """Return every workspace that has a log."""
    async with database.transaction(Role.DISPATCHER) as connection:
        found = await connection.execute(checkpoints.SQL["workspaces"])
        return [ws for (ws,) in await found.fetchall()]


async def catch_up(
    database: Database,
    reader: LogReader,
    model: ReadModel,
    ws: int,
    version: int,
    *,
    batch: int = BATCH,
) -> Step:
    """Fold one workspace's log into a version up to the log's end; return the last step. Stops at a failure."""
    while True:
        step = await advance(database, reader, model, ws, version=version, batch=batch)
        if not step.more or step.checkpoint.failure:
            return step


async def drop(database: Database, model: ReadModel, ws: int, version: int) -> int:
    """Delete a version of one workspace, checkpoint first, so that nobody writes to it any more."""
    key = {"ws": ws, "projection": model.name, "version": version}
    async with database.transaction(Role.PROJECTOR, workspaces=[ws]) as connection:
        await connection.execute(checkpoints.SQL["end_checkpoint"], key)
    dropped = 0
    while True:
        async with database.transaction(Role.PROJECTOR, workspaces=[ws]) as connection:
            gone = await drop_rows(connection, model, ws, version, _DROP_AT_ONCE)
        dropped += gone
        if not gone:
            return dropped
