"""Where a workspace's log ends, read beside other rows."""

from sqlalchemy import bindparam, select

from headway_control_plane.application.ports import START, Cursor
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import workspace_head
from headway_control_plane.projections.reading import Prepared, fetch

_HEAD = Prepared(
    select(workspace_head.c.epoch, workspace_head.c.offset).where(
        workspace_head.c.ws == bindparam("ws")
    )
)


async def head(connection: Connection, ws: int) -> Cursor:
    """Return the place of the newest event. Rows that are read after it are at least as new."""
    rows = await fetch(connection, _HEAD, ws=ws)
    return Cursor(rows[0]["epoch"], rows[0]["offset"]) if rows else START
