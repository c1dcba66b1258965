"""Begins a new epoch of the logs: what follows a promotion or a restore that lost their newest events.

Every cursor of the old epoch is then answered with a reset instead of other events under the same numbers, and agents offer again what
they still have files of.
"""

from __future__ import annotations

from headway_control_plane.application.ports import Cursor
from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role

_SQL = load_queries("headway_control_plane.log", "epochs.sql")


async def begin_epochs(database: Database) -> list[tuple[str, Cursor]]:
    """Begin one in every workspace, in one transaction; return each one's name and where its log goes on."""
    async with database.transaction(Role.AUTH) as connection:
        found = await connection.execute(_SQL["workspaces"])
        names = {int(ws): str(name) for ws, name in await found.fetchall()}
    async with database.transaction(Role.COMMITTER, workspaces=names) as connection:
        begun = await connection.execute(_SQL["begin_epochs"])
        rows = sorted(await begun.fetchall())
    return [(names[ws], Cursor(epoch, offset)) for ws, epoch, offset in rows]
