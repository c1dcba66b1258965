"""Two PostgreSQL clusters: a primary and its asynchronous standby, whose link a test cuts before it promotes it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg

from headway_control_plane.db.embedded import Binaries, EmbeddedPostgres
from headway_control_plane.db.embedded.server import DATABASE
from support.eventually import eventually
from support.processes import wait_gone

_SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": "4",
    "max_replication_slots": "4",
    "idle_in_transaction_session_timeout": "0",
}
Row = tuple[object, ...]


class Clusters:
    """`primary` serves; `standby` follows it until `cut`."""

    def __init__(self, directory: Path, binaries: Binaries) -> None:
        self._binaries = binaries
        self.primary = EmbeddedPostgres(directory / "a", binaries, overrides=_SETTINGS)
        self.standby = EmbeddedPostgres(directory / "b", binaries, overrides=_SETTINGS)
        self._follower: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Leads to whichever of the two takes writes."""
        first, second = urlsplit(self.primary.url()), urlsplit(self.standby.url())
        query = dict(parse_qsl(first.query))
        other = dict(parse_qsl(second.query))
        for name in ("host", "port"):
            query[name] = f"{query[name]},{other[name]}"
        # Both have the same password; that of the standby's directory outlives the primary.
        query |= {"passfile": other["passfile"], "target_session_attrs": "read-write"}
        return f"postgresql://{first.netloc}/{DATABASE}?{urlencode(query)}"

    def start(self) -> None:
        self.primary.start()
        copy = [
            self._binaries.program("pg_basebackup"),
            "--wal-method=stream",
            "--write-recovery-conf",
        ]
        where = ["--pgdata", str(self.standby.data), "--dbname", self.primary.url("postgres")]
        subprocess.run([*copy, "--checkpoint=fast", *where], check=True, capture_output=True)
        self.standby.prepare()
        with self.standby.open_log() as log:
            self._follower = subprocess.Popen(
                self.standby.command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        eventually(self._follows, what="the standby follows")

    def stop(self) -> None:
        self.primary.release()
        if self._follower is not None:
            self._follower.terminate()
            self._follower.wait(30)
            assert self._follower.stdin is not None
            self._follower.stdin.close()
        self.standby.release()

    def has_all(self) -> bool:
        """Whether the standby has replayed everything that was written until now."""
        (written,) = ask(self.primary, "SELECT pg_current_wal_lsn()")
        (behind,) = ask(
            self.standby, f"SELECT pg_wal_lsn_diff('{written}', pg_last_wal_replay_lsn())"
        )
        return int(str(behind)) <= 0

    def cut(self) -> None:
        """From now on the primary confirms what the standby never gets."""
        ask(self.standby, "ALTER SYSTEM SET primary_conninfo = ''")
        ask(self.standby, "SELECT pg_reload_conf()")
        receivers = "SELECT count(*) FROM pg_stat_wal_receiver"
        eventually(lambda: ask(self.standby, receivers) == (0,), what="the link is cut")

    def lose_primary(self) -> None:
        """kill -9, with its backends."""
        pid = int((self.primary.data / "postmaster.pid").read_text().split()[0])
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
        wait_gone(pid)
        self.primary.stop()

    def promote(self) -> None:
        ask(self.standby, "SELECT pg_promote()")
        eventually(self.standby.is_ready, what="the standby takes writes")

    def _follows(self) -> bool:
        try:
            return ask(self.standby, "SELECT status FROM pg_stat_wal_receiver") == ("streaming",)
        except psycopg.OperationalError:
            return False


def ask(cluster: EmbeddedPostgres, statement: str) -> Row:
    """One row, or nothing, of one cluster."""
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return (cursor.fetchone() or ()) if cursor.description else ()


@contextmanager
def clusters(directory: Path, binaries: Binaries) -> Iterator[Clusters]:
    made = Clusters(directory, binaries)
    try:
        made.start()
        yield made
    finally:
        made.stop()
