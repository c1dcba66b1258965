"""Looks that travel together: the answers of each, types and orders kept, one statement for as many as are asked at once."""

from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import literal, select

from headway_control_plane.db.pool import BinaryCursor
from headway_control_plane.db.roles import Role
from headway_control_plane.projections.gathering import side_by_side
from headway_control_plane.projections.reading import Reads, fetch

pytestmark = pytest.mark.postgres

EVERY_TYPE = """
SELECT n, n::text AS word, decode('00ff', 'hex') AS raw, '2026-11-23 12:00:00+00'::timestamptz AS at, '{"a": [1]}'::jsonb AS held,
  NULL::bigint AS nothing, ARRAY[1.5, n] AS numbers, '00000000-0000-0000-0000-000000000007'::uuid AS id, sum(n) OVER () AS total, n > 1 AS more
FROM generate_series(1, %(most)s) AS n ORDER BY n DESC
"""


@pytest.fixture
def statements(monkeypatch):
    asked: list[str] = []
    execute = BinaryCursor.execute

    async def counted(self, query, *arguments, **options):
        asked.append(str(query))
        return await execute(self, query, *arguments, **options)

    monkeypatch.setattr(BinaryCursor, "execute", counted)
    return asked


async def rows(connection, query: str, **values) -> list:
    return await (await connection.execute(query, values)).fetchall()


async def test_each_look_has_its_own_rows_as_if_it_had_been_alone(log, fleet, statements):
    async with Reads(log.database).workspace(fleet.ws) as connection:
        alone = await rows(connection, EVERY_TYPE, most=3)
        statements.clear()
        async with side_by_side(connection) as pages:
            one = pages.read(rows(pages.connection, EVERY_TYPE, most=3))
            none = pages.read(rows(pages.connection, EVERY_TYPE, most=0))
            percent = pages.read(rows(pages.connection, "SELECT 7 %% 4, %(word)s::text", word="%s"))
            named = pages.read(fetch(pages.connection, select(literal(5).label("five"))))
    assert len(statements) == 1
    assert one.result() == alone
    assert alone[0] == (
        3, "3", b"\x00\xff", datetime(2026, 11, 23, 12, tzinfo=UTC), {"a": [1]}, None, [1.5, 3], UUID(int=7), 6, True,
    )  # fmt: skip
    assert none.result() == []
    assert percent.result() == [(3, "%s")]
    assert named.result() == [{"five": 5}]


async def test_chains_of_looks_cost_as_many_statements_as_the_longest(log, fleet, statements):
    async def chain(connection, length: int) -> list[int]:
        found = []
        for n in range(length):
            found += [value for (value,) in await rows(connection, "SELECT %(n)s::int", n=n)]
        return found

    async with Reads(log.database).workspace(fleet.ws) as connection:
        statements.clear()
        async with side_by_side(connection) as pages:
            chains = [pages.read(chain(pages.connection, length)) for length in (1, 4, 2, 4)]
    assert [each.result() for each in chains] == [[0], [0, 1, 2, 3], [0, 1], [0, 1, 2, 3]]
    assert len(statements) == 4


async def both(connection, one, other) -> None:
    async with side_by_side(connection) as pages:
        pages.read(one(pages.connection))
        pages.read(other(pages.connection))


async def test_an_error_is_raised_as_it_is_and_leaves_the_connection_free(log, fleet):
    async def broken(connection) -> None:
        await rows(connection, "SELECT 1")
        raise LookupError("nothing there")

    async with Reads(log.database).workspace(fleet.ws) as connection:
        with pytest.raises(LookupError, match="nothing there"):
            await both(connection, broken, lambda each: rows(each, EVERY_TYPE, most=2))
        assert await rows(connection, "SELECT 2") == [(2,)]
    async with log.database.transaction(Role.APP, ws=fleet.ws) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await both(
                connection,
                lambda each: rows(each, "SELECT 1 / %(n)s::int", n=0),
                lambda each: rows(each, "SELECT 3"),
            )
        await connection.rollback()
