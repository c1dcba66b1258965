"""One step of a read model over one workspace: read on from its checkpoint, fold, move the checkpoint, in one transaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import DataError, sql

from headway_api.event.v1 import attempt_pb2, control_pb2
from headway_control_plane.application.ports import START, Cursor, EpochChanged, LogReader, Recorded
from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.roles import Role
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.read_model import BrokenEvent, Checkpoint, ReadModel

BATCH = 1000
# What a crash of the database takes away, checkpoint and rows together, is folded again from the log.
_UNHURRIED = {"synchronous_commit": "off"}

KNOWN_TYPES = frozenset(attempt_pb2.DESCRIPTOR.message_types_by_name) | frozenset(
    control_pb2.DESCRIPTOR.message_types_by_name
)


@dataclass(frozen=True, slots=True)
class Step:
    """Where a step ended. `more`: the log probably goes on."""

    checkpoint: Checkpoint
    events: int
    more: bool


async def advance(
    database: Database,
    reader: LogReader,
    model: ReadModel,
    ws: int,
    *,
    version: int | None = None,
    until: int | None = None,
    batch: int = BATCH,
) -> Step:
    """Fold at most `batch` events behind the checkpoint of a version (default: the active one), none above `until`.

    An event that cannot be folded, or whose values the database refuses, ends the step before it: what precedes it is
    stored, and so is the failure.
    """
    try:
        async with database.transaction(
            Role.PROJECTOR, workspaces=[ws], settings=_UNHURRIED
        ) as connection:
            return await advance_in(
                connection, reader, model, ws, version=version, until=until, batch=batch
            )
    except DataError as error:
        if batch == 1:
            return await _stand_still(database, reader, model, ws, version, error)
        # Somewhere in the batch: half of it either goes through or is nearer to the culprit.
        return await advance(
            database, reader, model, ws, version=version, until=until, batch=batch // 2
        )


async def _stand_still(
    database: Database,
    reader: LogReader,
    model: ReadModel,
    ws: int,
    version: int | None,
    error: Exception,
) -> Step:
    """Store why the next event cannot be taken."""
    async with database.transaction(Role.PROJECTOR, workspaces=[ws]) as connection:
        held = await checkpoints.lock(connection, ws, model.name, version)
        [event] = await reader.read(ws, held.cursor, 1)
        failed = dataclasses.replace(held, failure=str(BrokenEvent(event, error)))
        await checkpoints.move(connection, ws, model.name, failed, events=0, unknown=0)
    return Step(failed, events=0, more=False)


async def advance_in(
    connection: Connection,
    reader: LogReader,
    model: ReadModel,
    ws: int,
    *,
    version: int | None = None,
    until: int | None = None,
    batch: int = BATCH,
) -> Step:
    """Do the step within the caller's transaction (role projector)."""
    held = await checkpoints.lock(connection, ws, model.name, version)
    limit = _limit(held, until, batch)
    if limit <= 0:
        return Step(held, events=0, more=False)
    try:
        events = await reader.read(ws, held.cursor, limit)
    except EpochChanged:
        await drop_rows(connection, model, ws, held.version)
        restart = {"ws": ws, "projection": model.name, "version": held.version}
        await connection.execute(checkpoints.SQL["restart_checkpoint"], restart)
        return Step(dataclasses.replace(held, cursor=START, failure=""), events=0, more=True)
    if not events:
        return Step(held, events=0, more=False)
    more = len(events) == limit
    failure = ""
    try:
        await model.apply(connection, ws, held.version, events)
    except BrokenEvent as broken:
        events = [event for event in events if event.cursor.offset < broken.offset]
        await model.apply(connection, ws, held.version, events)
        failure, more = str(broken), False
    after = _moved(held, events, failure)
    await checkpoints.move(
        connection, ws, model.name, after, events=len(events), unknown=count_unknown(events)
    )
    return Step(after, len(events), more)


async def drop_rows(
    connection: Connection, model: ReadModel, ws: int, version: int, at_most: int | None = None
) -> int:
    """Delete rows of one version and workspace; return how many went."""
    dropped = 0
    limit = sql.SQL("") if at_most is None else sql.SQL("LIMIT {}").format(at_most)
    for table in model.tables:
        statement = sql.SQL(_DROP).format(table=sql.Identifier(table), limit=limit)
        done = await connection.execute(statement, {"ws": ws, "version": version})
        dropped += done.rowcount
    return dropped


_DROP: LiteralString = (
    "DELETE FROM {table} WHERE ctid = ANY (ARRAY("
    "SELECT ctid FROM {table} WHERE ws = %(ws)s AND version = %(version)s {limit}))"
    " AND ws = %(ws)s AND version = %(version)s"
)


def count_unknown(events: Sequence[Recorded]) -> int:
    """Count events of types that this code does not know: a newer writer's. They are skipped, and shown as a number."""
    return sum(event.type not in KNOWN_TYPES for event in events)


def _limit(held: Checkpoint, until: int | None, batch: int) -> int:
    return batch if until is None else min(batch, until - held.cursor.offset)


def _moved(held: Checkpoint, events: Sequence[Recorded], failure: str) -> Checkpoint:
    cursor: Cursor = events[-1].cursor if events else held.cursor
    return dataclasses.replace(held, cursor=cursor, failure=failure)
