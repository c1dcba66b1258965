"""Prove a read model: fold the log anew beside it, up to its own checkpoint, and compare every row."""

from __future__ import annotations

from dataclasses import dataclass

from headway_control_plane.application.ports import Cursor, LogReader
from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.roles import Role
from headway_control_plane.projections import checkpoints, shadow
from headway_control_plane.projections.advance import BATCH, advance, advance_in
from headway_control_plane.projections.compare import Comparison, compare
from headway_control_plane.projections.read_model import ReadModel


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved of one workspace. What began before `proved_from` has left the log and is not proved.

    Types that this code does not know come from agents that are newer, and are passed over: by the live version as by the
    replay, or else the two do not tell of the same events.
    """

    ws: int
    projection: str
    proved_from: int
    checkpoint: Cursor
    unknown_events: int
    unknown_in_replay: int
    failure: str
    comparison: Comparison

    @property
    def holds(self) -> bool:
        return not self.comparison.differences and not self.failure


async def verify(
    database: Database, reader: LogReader, model: ReadModel, ws: int, *, batch: int = BATCH
) -> Proof:
    """Fold one workspace's log up to the live checkpoint and compare. The live version pauses only for the last stretch."""
    live = await shadow.active_version(database, model)
    version = await shadow.next_version(database, model, [ws])
    try:
        await _approach(database, reader, model, ws, live, version, batch)
        async with database.transaction(Role.PROJECTOR, workspaces=[ws]) as connection:
            return await _prove(connection, reader, model, ws, live, version)
    finally:
        await shadow.drop(database, model, ws, version)


async def _approach(
    database: Database,
    reader: LogReader,
    model: ReadModel,
    ws: int,
    live: int,
    version: int,
    batch: int,
) -> None:
    """Fold up to where the live version was when this began."""
    async with database.transaction(Role.PROJECTOR, workspaces=[ws]) as connection:
        goal = (await checkpoints.lock(connection, ws, model.name, live)).cursor.offset
    while True:
        step = await advance(database, reader, model, ws, version=version, until=goal, batch=batch)
        if step.checkpoint.cursor.offset >= goal or step.checkpoint.failure or not step.events:
            return


async def _prove(
    connection: Connection, reader: LogReader, model: ReadModel, ws: int, live: int, version: int
) -> Proof:
    held = await checkpoints.lock(connection, ws, model.name, live)
    while True:
        step = await advance_in(
            connection, reader, model, ws, version=version, until=held.cursor.offset
        )
        if not step.events or step.checkpoint.failure:
            break
    row = await (await connection.execute(checkpoints.SQL["first_offset"], {"ws": ws})).fetchone()
    proved_from = (row[0] if row else None) or 1
    return Proof(
        ws=ws,
        projection=model.name,
        proved_from=proved_from,
        checkpoint=held.cursor,
        unknown_events=held.unknown_events,
        unknown_in_replay=step.checkpoint.unknown_events,
        failure=held.failure or step.checkpoint.failure,
        comparison=await compare(connection, ws, live, version, proved_from=proved_from),
    )
