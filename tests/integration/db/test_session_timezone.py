"""Connections read instants in UTC, whatever zone the server's machine is in."""

import psycopg
import pytest

from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from support.postgres import ScratchDatabase

pytestmark = pytest.mark.postgres


async def test_the_servers_zone_does_not_matter(database: ScratchDatabase) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        (name,) = connection.execute("SELECT quote_ident(current_database())").fetchone()
        connection.execute(f"ALTER DATABASE {name} SET timezone = 'Pacific/Kiritimati'")
    async with (
        Database(database.url, [Role.DISPATCHER]) as pools,
        pools.statements(Role.DISPATCHER) as connection,
    ):
        # Its local time is in the year 10000 there.
        found = await connection.execute("SELECT '9999-12-31T23:00:00Z'::timestamptz")
        (instant,) = await found.fetchone()
    assert (instant.year, instant.hour) == (9999, 23)
