import asyncio

import psycopg
import pytest
from psycopg import sql

from headway_control_plane.db.errors import CannotConnect
from headway_control_plane.db.pool import Database, PoolOptions
from headway_control_plane.db.roles import Role
from support.postgres import ScratchDatabase, ScratchServer

pytestmark = pytest.mark.postgres

SMALL = PoolOptions(min_size=1, max_size=2, acquire_timeout=10.0)
POOLER = PoolOptions(min_size=1, max_size=2, transaction_pooler=True)


async def settings_of(connection: psycopg.AsyncConnection) -> tuple:
    cursor = await connection.execute(
        "SELECT current_user::text, current_setting('app.ws', true), current_setting('app.workspaces', true),"
        " current_setting('search_path'), current_setting('lock_timeout')"
    )
    return await cursor.fetchone()


@pytest.mark.parametrize("options", [SMALL, POOLER], ids=["direct", "pooler"])
async def test_a_transaction_acts_in_its_role_and_sees_its_workspace(
    database: ScratchDatabase, options: PoolOptions
) -> None:
    async with Database(database.url, [Role.APP, Role.COMMITTER], options) as pools:
        async with pools.transaction(Role.APP, ws=7) as connection:
            assert await settings_of(connection) == ("headway_app", "7", "", "headway", "2s")
        async with pools.transaction(Role.COMMITTER, workspaces=[1, 2]) as connection:
            assert (await settings_of(connection))[:3] == ("headway_committer", "", "{1,2}")


@pytest.mark.parametrize("options", [SMALL, POOLER], ids=["direct", "pooler"])
async def test_a_workspace_does_not_outlive_its_transaction(
    database: ScratchDatabase, options: PoolOptions
) -> None:
    async with Database(database.url, [Role.APP], options) as pools:
        async with pools.transaction(Role.APP, ws=7) as connection:
            await connection.execute("SELECT FROM run")
            first = connection.info.backend_pid
        async with pools.pool(Role.APP).connection() as connection:
            assert connection.info.backend_pid == first
            assert (await settings_of(connection))[1] == ""


async def test_a_workspace_that_somebody_set_for_the_session_is_forgotten(
    database: ScratchDatabase,
) -> None:
    async with Database(database.url, [Role.APP], SMALL) as pools:
        async with pools.pool(Role.APP).connection() as connection:
            await connection.execute("SELECT set_config('app.ws', '7', false)")
            first = connection.info.backend_pid
        async with pools.transaction(Role.APP) as connection:
            assert connection.info.backend_pid == first
            assert (await settings_of(connection))[1] == ""


async def read_runs_of_nobody(pools: Database) -> None:
    async with pools.transaction(Role.APP) as connection:
        await connection.execute("SELECT FROM run")


async def test_without_a_workspace_there_is_an_error_and_never_all_rows(
    database: ScratchDatabase,
) -> None:
    async with Database(database.url, [Role.APP], SMALL) as pools:
        for _ in range(2):  # a fresh connection never had one, a used one had one that is over
            with pytest.raises((psycopg.DataError, psycopg.errors.UndefinedObject)):
                await read_runs_of_nobody(pools)
            async with pools.transaction(Role.APP, ws=7) as connection:
                await connection.execute("SELECT FROM run")


async def create_and_fail(pools: Database) -> None:
    async with pools.transaction(Role.OWNER) as connection:
        await connection.execute("CREATE TABLE headway.gone ()")
        await connection.execute("SELECT 1 / 0")


async def test_an_error_rolls_the_transaction_back(database: ScratchDatabase) -> None:
    async with Database(database.url, [Role.OWNER], SMALL) as pools:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await create_and_fail(pools)
        async with pools.transaction(Role.OWNER) as connection:
            cursor = await connection.execute("SELECT to_regclass('headway.gone') IS NULL")
            assert await cursor.fetchone() == (True,)


async def test_connections_that_the_server_ended_are_not_handed_out(
    database: ScratchDatabase, postgres_server: ScratchServer
) -> None:
    async with Database(database.url, [Role.APP], SMALL) as pools:
        async with pools.transaction(Role.APP, ws=1) as connection:
            first = connection.info.backend_pid
        with psycopg.connect(postgres_server.postgres.url("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 10000)", [first])
        async with pools.transaction(Role.APP, ws=1) as connection:
            assert connection.info.backend_pid != first


async def test_results_travel_in_binary(database: ScratchDatabase) -> None:
    async with (
        Database(database.url, [Role.APP], SMALL) as pools,
        pools.transaction(Role.APP, ws=1) as connection,
    ):
        cursor = await connection.execute("SELECT 1::bigint")
        assert cursor.pgresult is not None
        assert cursor.pgresult.fformat(0) == 1


async def test_a_role_that_is_not_there_is_told_at_the_start(
    empty_database: ScratchDatabase,
) -> None:
    with empty_database.connect() as connection:
        login = f"login_{empty_database.name}"
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(login))
        )
        url = psycopg.conninfo.make_conninfo(empty_database.url, user=login, password="x")
        try:
            with pytest.raises(
                CannotConnect, match=r"(?s)headway_app.*permission denied.*headway server migrate"
            ):
                await Database(url, [Role.APP], SMALL).open()
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


async def test_a_server_that_is_away_is_told_at_the_start(tmp_path) -> None:
    with pytest.raises(CannotConnect, match="--database-url"):
        await Database(f"postgresql:///x?host={tmp_path}", [Role.APP], SMALL).open()


async def test_two_callers_at_once_get_two_connections(database: ScratchDatabase) -> None:
    together = asyncio.Barrier(2)

    async def backend(pools: Database) -> int:
        async with pools.transaction(Role.APP, ws=1) as connection:
            await asyncio.wait_for(together.wait(), 30)
            return connection.info.backend_pid

    async with Database(database.url, [Role.APP], SMALL) as pools:
        assert len(set(await asyncio.gather(backend(pools), backend(pools)))) == 2


async def test_a_dead_link_is_noticed_soon_unless_the_url_says_otherwise(
    database: ScratchDatabase,
) -> None:
    async with (
        Database(f"{database.url}&keepalives_idle=77", [Role.APP], SMALL) as pools,
        pools.transaction(Role.APP, ws=1) as connection,
    ):
        said = connection.info.get_parameters()
        assert (said["keepalives_idle"], said["tcp_user_timeout"]) == ("77", "15000")
