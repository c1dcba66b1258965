"""Stores lines of output in chunks. Lines are no events: they have no offset, and no head lock is taken for them."""

from __future__ import annotations

from uuid import UUID

from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.errors import InvalidArgument, NotFound

CHUNK_BYTES_MAX = 1 << 20
_SQL = load_queries("headway_control_plane.log", "lines.sql")


class LineStore:
    """Appends chunks. The attempt's row is the lock that keeps two senders of the same lines apart."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(
        self, ws: int, run: UUID, fence: int, first_line: int, lines: int, content: bytes
    ) -> int:
        """Store a chunk if it begins right behind the last stored line; return the number of the last stored line.

        An attempt whose run was granted anew may still send what it printed.

        Raises:
            NotFound: There is no such attempt.
            InvalidArgument: The chunk is empty or too large.
        """
        if lines < 1 or not content or len(content) > CHUNK_BYTES_MAX:
            raise InvalidArgument(
                f"A chunk holds at least one line and at most {CHUNK_BYTES_MAX} bytes. Send smaller chunks.",
                lines=lines,
                size_bytes=len(content),
            )
        attempt = {"ws": ws, "run": run, "fence": fence}
        async with self._database.transaction(Role.COMMITTER, workspaces=(ws,)) as connection:
            found = await (await connection.execute(_SQL["lock_attempt"], attempt)).fetchone()
            if found is None:
                raise NotFound("There is no such attempt in this workspace.")
            row = await (
                await connection.execute(_SQL["last_line"], attempt | {"seg": found[0]})
            ).fetchone()
            last_line: int = row[0] if row else 0
            if first_line != last_line + 1:
                return last_line
            chunk = {"first_line": first_line, "lines": lines, "bytes": content}
            await connection.execute(_SQL["keep_chunk"], attempt | chunk)
            return last_line + lines
