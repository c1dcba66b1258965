"""Bring a database to the schema of this code: forward only, one migrator at a time, never backwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from headway_control_plane.db.embedded.binaries import OLDEST_MAJOR
from headway_control_plane.db.errors import SchemaTooNew, SchemaTooOld, UnsupportedServer

_SCRIPTS = Path(__file__).parent / "migrations"
# "headway" in ASCII. Any number would do, as long as it stays the same for ever.
_LOCK_KEY = 0x68656164776179
# Not Alembic's own name: the database may hold another program's tables.
_VERSION_TABLE = {"version_table": "headway_version", "version_table_schema": "public"}


@dataclass(frozen=True, slots=True)
class Migration:
    """What a migration did: equal revisions mean that there was nothing to do."""

    before: str | None
    after: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


def migrate(url: str) -> Migration:
    """Migrate the database to this code's newest revision.

    A session-level advisory lock makes a second migrator wait for the first instead of failing on a table that
    already exists. It is a courtesy: Alembic's version row, updated in the transaction of each migration, is what
    keeps a migration from being applied twice. The lock needs a direct connection (no transaction pooler).
    """
    with _connect(url) as connection:
        _require_supported(connection)
        with _one_at_a_time(connection):
            before = _revision(connection)
            _require_known(before)
            command.upgrade(_config(connection), "head")
            return Migration(before, newest_revision())


def require_current(url: str) -> None:
    """Refuse to serve from a database whose schema is not this code's."""
    with _connect(url) as connection:
        _require_supported(connection)
        found = _revision(connection)
    _require_known(found)
    if found != newest_revision():
        raise SchemaTooOld(
            f"The database is at revision {found or 'none'}; this code needs {newest_revision()}.",
            next_step="Run: headway server migrate",
        )


def newest_revision() -> str:
    """Return the newest revision that this code knows."""
    head = _scripts().get_current_head()
    assert head is not None, "the package ships no migrations"
    return head


@contextmanager
def _connect(url: str) -> Iterator[Connection]:
    # psycopg reads the URL itself: SQLAlchemy knows no passfile and no several hosts.
    engine = create_engine(
        "postgresql+psycopg://",
        poolclass=NullPool,
        creator=lambda: psycopg.connect(url, connect_timeout=10),
    )
    with engine.connect() as connection:
        yield connection


@contextmanager
def _one_at_a_time(connection: Connection) -> Iterator[None]:
    connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK_KEY})")
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK_KEY})")
        connection.commit()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = _VERSION_TABLE
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _revision(connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection, opts=_VERSION_TABLE).get_current_revision()
    connection.commit()
    return revision


def _require_known(revision: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaTooNew(
            f"The database is at revision {revision}, which this code (up to {newest_revision()}) does not know.",
            next_step=(
                "Use a headway-control-plane at least as new as the one that migrated it "
                "(pip install -U headway-control-plane), or another database."
            ),
        )


def _require_supported(connection: Connection) -> None:
    version: str = connection.exec_driver_sql("SHOW server_version_num").scalar_one()
    connection.commit()
    major = int(version) // 10_000
    if major < OLDEST_MAJOR:
        raise UnsupportedServer(
            f"The server is PostgreSQL {major}; Headway needs {OLDEST_MAJOR} or newer.",
            next_step="Upgrade the server, or name another one with --database-url.",
        )
