"""Reading and moving the checkpoints of read models."""

from __future__ import annotations

from headway_control_plane.application.ports import START, Cursor
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries
from headway_control_plane.projections.read_model import Checkpoint, Freshness

SQL = load_queries("headway_control_plane.projections", "checkpoints.sql")


async def lock(
    connection: Connection, ws: int, projection: str, version: int | None = None
) -> Checkpoint:
    """Take the checkpoint of a version (default: the active one) for this transaction; begin it if there is none."""
    key = {"ws": ws, "projection": projection, "version": version}
    row = await (await connection.execute(SQL["lock_checkpoint"], key)).fetchone()
    if row is None:
        await connection.execute(SQL["begin_checkpoint"], key)
        row = await (await connection.execute(SQL["lock_checkpoint"], key)).fetchone()
    assert row is not None, f"the projection {projection} has no active version"
    return Checkpoint(row[0], Cursor(row[1], row[2]), row[3], row[4])


async def move(
    connection: Connection,
    ws: int,
    projection: str,
    checkpoint: Checkpoint,
    *,
    events: int,
    unknown: int,
) -> None:
    """Store where a version has come to, in the transaction that wrote its rows."""
    await connection.execute(
        SQL["move_checkpoint"],
        {
            "ws": ws,
            "projection": projection,
            "version": checkpoint.version,
            "epoch": checkpoint.cursor.epoch,
            "offset": checkpoint.cursor.offset,
            "events": events,
            "unknown": unknown,
            "failure": checkpoint.failure,
        },
    )


async def freshness(connection: Connection, ws: int, projection: str) -> Freshness:
    """Say how far what is shown lies behind the log (role app)."""
    row = await (
        await connection.execute(SQL["freshness"], {"ws": ws, "projection": projection})
    ).fetchone()
    if row is None:
        return Freshness(START, START, "", 0)
    return Freshness(
        head=Cursor(row[0], row[1]),
        checkpoint=Cursor(row[2] or 0, row[3] or 0),
        failure=row[4] or "",
        unknown_events=row[5] or 0,
    )
