"""What is repeated in the background, and how values travel to the database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headway_control_plane.application.ports import Dedupe
from headway_control_plane.db.roles import Role
from headway_control_plane.log import packed
from headway_control_plane.log.housekeeping import ForgetKeys, MakeSegments
from headway_control_plane.log.segments import Segments

pytestmark = pytest.mark.postgres


async def test_keys_are_forgotten_when_their_time_is_over(fleet, log, database):
    for key, keep in (("old", timedelta(0)), ("new", timedelta(hours=1))):
        dedupe = Dedupe(key, b"", {}, keep)
        await fleet.execute(fleet.create_command(fleet.new_id()), dedupe=dedupe)
    assert await ForgetKeys(log.database).run_once() is False
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM command_dedupe").fetchone() == (1,)


async def test_segments_are_work_that_is_soon_done(log):
    assert await MakeSegments(Segments(log.database)).run_once() is False


NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
COLUMNS = [
    ("int2", "smallint", [1, -2, None]),
    ("int4", "integer", [1 << 30, -5, None]),
    ("int8", "bigint", [1 << 60, -5, None]),
    ("bool", "boolean", [True, False, None]),
    ("uuid", "uuid", [UUID(int=7), None]),
    ("text", "text", ["", "\u00e9\U0001f600", 'a"b\\', None]),
    ("bytes", "bytea", [b"", b"\x00\xff", None]),
    ("instant", "timestamptz", [NOW, NOW - timedelta(days=20_000), None]),
]


@pytest.mark.parametrize(("kind", "sql_type", "values"), COLUMNS)
async def test_packed_columns_arrive_as_they_were(log, kind, sql_type, values):
    async with log.database.transaction(Role.COMMITTER, workspaces=()) as connection:
        packed.register(connection)
        for column in (values, []):
            array = packed.pack_column(kind, column)
            found = await connection.execute(f"SELECT * FROM unnest(%b::{sql_type}[])", [array])
            assert [value for (value,) in await found.fetchall()] == column


async def test_packed_lists_arrive_as_they_were(log):
    lists = [["a", 'b"c', "d\\e", "", "NULL", "{x,y}", " "], []]
    async with log.database.transaction(Role.COMMITTER, workspaces=()) as connection:
        packed.register(connection)
        array = packed.pack_column("texts", lists)
        found = await connection.execute(
            "SELECT value::text[] FROM unnest(%b::text[]) AS v (value)", [array]
        )
        assert [value for (value,) in await found.fetchall()] == lists
