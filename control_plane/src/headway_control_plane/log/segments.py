"""Day segments: partitions of the log, made ahead of time. An event without a partition would be an outage."""

from __future__ import annotations

from psycopg import sql

from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role

DAYS_AHEAD = 7
# Attached and not created in place: that would lock out everybody who writes or reads the table.
_CREATE = sql.SQL(
    "CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)"
)
_ATTACH = sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})")
_SQL = load_queries("headway_control_plane.log", "segments.sql")


class Segments:
    """Makes partitions as the maintenance role. Any number of processes may do so at once."""

    def __init__(self, database: Database, days_ahead: int = DAYS_AHEAD) -> None:
        self._database = database
        self._days_ahead = days_ahead

    async def ensure(self) -> list[int]:
        """Make the segments of today and the days ahead; return the numbers of those that were made."""
        async with self._database.transaction(Role.MAINTENANCE) as connection:
            await connection.execute(_SQL["one_at_a_time"])
            missing = await (
                await connection.execute(_SQL["missing"], [self._days_ahead])
            ).fetchall()
            for table, seg in missing:
                await _make(connection, table, seg)
        return sorted({seg for _, seg in missing})

    async def days_left(self) -> int:
        """Return for how many days after today there are segments: the number that an alert watches."""
        async with self._database.transaction(Role.MAINTENANCE) as connection:
            row = await (await connection.execute(_SQL["days_left"])).fetchone()
            assert row is not None
            return int(row[0])


async def _make(connection: Connection, table: str, seg: int) -> None:
    parent, partition = sql.Identifier(table), sql.Identifier(f"{table}_{seg}")
    await connection.execute(_CREATE.format(partition, parent))
    await connection.execute(
        _ATTACH.format(parent, partition, sql.Literal(seg), sql.Literal(seg + 1))
    )
