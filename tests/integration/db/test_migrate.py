import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from headway_control_plane.db.errors import SchemaTooNew, SchemaTooOld
from headway_control_plane.db.migrate import migrate, newest_revision, require_current
from headway_control_plane.db.roles import Role
from support.postgres import ScratchDatabase

pytestmark = pytest.mark.postgres


def test_an_empty_database_migrates_and_a_second_time_changes_nothing(
    empty_database: ScratchDatabase,
) -> None:
    first = migrate(empty_database.url)
    second = migrate(empty_database.url)

    assert (first.before, first.after, first.changed) == (None, newest_revision(), True)
    assert (second.before, second.after, second.changed) == (
        newest_revision(),
        newest_revision(),
        False,
    )
    require_current(empty_database.url)


def test_two_migrators_at_once_serialise(empty_database: ScratchDatabase) -> None:
    together = threading.Barrier(2)

    def run() -> bool:
        together.wait(timeout=30)
        return migrate(empty_database.url).changed

    with ThreadPoolExecutor(2) as threads:
        changed = [f.result(timeout=60) for f in [threads.submit(run), threads.submit(run)]]

    assert sorted(changed) == [False, True]


def test_a_database_that_newer_code_migrated_is_refused_with_the_next_step(
    database: ScratchDatabase,
) -> None:
    with database.connect() as connection:
        connection.execute("UPDATE public.headway_version SET version_num = '9999'")

    with pytest.raises(
        SchemaTooNew, match=r"revision 9999.*\n.*pip install -U headway-control-plane"
    ):
        migrate(database.url)
    with pytest.raises(SchemaTooNew):
        require_current(database.url)


def test_serving_from_a_database_that_was_never_migrated_is_refused(
    empty_database: ScratchDatabase,
) -> None:
    with pytest.raises(SchemaTooOld, match="headway server migrate"):
        require_current(empty_database.url)


def test_a_migration_that_fails_leaves_nothing_behind(empty_database: ScratchDatabase) -> None:
    # A schema of that name, but not ours: the first migration fails in its middle, after the roles.
    with empty_database.connect() as connection:
        connection.execute("CREATE SCHEMA headway; CREATE TABLE headway.mine ()")
        with pytest.raises(Exception, match="already exists"):
            migrate(empty_database.url)
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'headway'"
        ).fetchall()

    assert tables == [("mine",)]
    with pytest.raises(SchemaTooOld):
        require_current(empty_database.url)


def test_every_role_exists_and_none_can_log_in_or_pass_the_policies_by(
    database: ScratchDatabase,
) -> None:
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT rolname, rolcanlogin OR rolbypassrls OR rolsuper FROM pg_roles WHERE rolname LIKE 'headway\\_%'"
        ).fetchall()

    assert dict(rows) == {role.value: False for role in Role}


def test_the_schema_can_be_migrated_by_a_login_that_is_no_superuser(
    empty_database: ScratchDatabase,
) -> None:
    with empty_database.connect() as connection:
        login = f"login_{empty_database.name}"
        connection.execute(f"CREATE ROLE {login} LOGIN CREATEROLE PASSWORD 'x'")
        connection.execute(f"ALTER DATABASE {empty_database.name} OWNER TO {login}")
        for role in Role:
            connection.execute(f"GRANT {role.value} TO {login} WITH ADMIN OPTION")
        try:
            migrate(psycopg.conninfo.make_conninfo(empty_database.url, user=login, password="x"))
            require_current(empty_database.url)
        finally:
            connection.execute(
                f"REASSIGN OWNED BY {login} TO CURRENT_USER; DROP OWNED BY {login}; DROP ROLE {login}"
            )
