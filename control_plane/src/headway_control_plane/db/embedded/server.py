"""A PostgreSQL server of our own: claimed, started as a child of a watchdog, stopped fast."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from headway_control_plane.db.embedded import data_directory, postmaster, watchdog
from headway_control_plane.db.embedded.binaries import Binaries
from headway_control_plane.db.embedded.configuration import server_settings
from headway_control_plane.db.embedded.lock import OwnerLock
from headway_control_plane.db.embedded.privilege import Descent, choose_descent, runs
from headway_control_plane.db.embedded.socket_directory import PORT, make_private, socket_directory
from headway_control_plane.db.errors import ServerFailed

DATABASE = "headway"
_LONGEST_START = 60.0
_LONGEST_STOP = 30.0
_LOG_LIMIT = 8 * 1024 * 1024
_LOG_EXCERPT = 2000


class EmbeddedPostgres:
    """The server under one home. Constructing it claims the home; `release` or the process's end gives it back.

    `prepare`, `command` and `is_ready` are for a supervisor that starts and restarts the process itself; `start` and
    `stop` do the same here, for callers without one.
    """

    def __init__(
        self,
        home: Path,
        binaries: Binaries,
        *,
        overrides: Mapping[str, str] | None = None,
        descent: Descent | None = None,
    ) -> None:
        home = home.resolve()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data = data_directory.data_directory(home, binaries.major)
        self.log = home / "log" / "postgres.log"
        self._binaries = binaries
        self._overrides = dict(overrides or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = OwnerLock(home / "postgres.lock")
        try:
            data_directory.refuse_foreign(home, binaries)
            self._descent = descent or choose_descent(os.geteuid(), self.data, probe=runs)
        except BaseException:
            self._lock.release()
            raise
        self._sockets = socket_directory(home)

    def prepare(self) -> None:
        """Make everything ready for the next start: directories, the first initdb, no survivor of an earlier run."""
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        make_private(self._sockets, self._descent)
        if not self.data.exists():
            durable = self._overrides.get("fsync", "on") == "on"
            data_directory.initialise(self.data, self._binaries, self._descent, durable=durable)
        postmaster.clear_the_way(self.data)

    def command(self) -> list[str]:
        """Return the command of the watchdog with the server behind it. Its standard input is the lifeline."""
        server = [
            *self._descent.prefix,
            "env",
            "LC_ALL=C",
            self._binaries.program("postgres"),
            "-D",
            str(self.data),
        ]
        settings = server_settings(self._binaries.major, self._sockets, PORT) | self._overrides
        for name, value in settings.items():
            server += ["-c", f"{name}={value}"]
        return [sys.executable, "-I", "-S", watchdog.__file__, *server]

    def is_ready(self) -> bool:
        """Return whether the server that was started last takes connections."""
        return postmaster.is_ready(self.data)

    def url(self, database: str = DATABASE) -> str:
        """Return a connection URL without a secret in it: the password stays in a file of the owner's."""
        where = {"host": str(self._sockets), "port": str(PORT)}
        where["passfile"] = str(data_directory.password_file(self.data))
        return f"postgresql://{data_directory.SUPERUSER}@/{quote(database)}?{urlencode(where)}"

    def create_database(self, name: str = DATABASE) -> None:
        """Create the database unless it is there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [name]
            ).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def start(self, timeout: float = _LONGEST_START) -> None:
        """Start the server and wait until it takes connections."""
        self.prepare()
        with self.open_log() as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            try:
                self._process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
            self.stop()
            raise self.failure()
        self.create_database()

    def stop(self, timeout: float = _LONGEST_STOP) -> None:
        """Stop the server fast: open transactions are rolled back, everything committed is on disk."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.terminate()  # the watchdog, which stops the server fast
        process.wait(timeout)
        process.stdin.close()

    def release(self) -> None:
        """Stop the server and give the home back."""
        self.stop()
        self._lock.release()

    def open_log(self) -> IO[bytes]:
        """Open the server's log for a start; a large one is set aside first."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        return self.log.open("ab")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def failure(self) -> ServerFailed:
        """Return why the server is not up, in its own last words."""
        words = (
            self.log.read_text(errors="replace")[-_LOG_EXCERPT:].strip()
            if self.log.exists()
            else ""
        )
        return ServerFailed(
            f"PostgreSQL {self._binaries.major} did not come up:\n{words}",
            next_step=f"The whole log is in {self.log}",
        )
