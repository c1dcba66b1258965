"""The embedded server with real programs and real kills. Runs with `--postgres=system` as well."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from headway_control_plane.db.embedded import Binaries, EmbeddedPostgres
from headway_control_plane.db.embedded.privilege import Descent
from headway_control_plane.db.errors import ForeignMajor, OwnedElsewhere, ServerFailed
from support.processes import is_alive, wait_gone

pytestmark = [pytest.mark.postgres, pytest.mark.process]

OWNER = Path(__file__).parents[2] / "support" / "own_postgres.py"
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@dataclass
class Owner:
    """Another process that owns a server."""

    process: subprocess.Popen
    url: str
    postmaster: int

    @property
    def watchdog(self) -> int:
        return int(Path(f"/proc/{self.postmaster}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def owner(
    home: Path, binaries: Binaries, *, prefix: tuple[str, ...] = (sys.executable,), env=None
) -> Iterator[Owner]:
    process = subprocess.Popen(
        [*prefix, str(OWNER), str(home), str(binaries.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
    )
    try:
        told = json.loads(process.stdout.readline())
        yield Owner(process, told["url"], told["postmaster"])
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def postmaster_of(postgres: EmbeddedPostgres) -> int:
    return int((postgres.data / "postmaster.pid").read_text().split()[0])


def write(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        connection.execute("INSERT INTO note VALUES (%s)", [text])


def notes(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM note").fetchall()]


def test_it_starts_keeps_what_was_written_and_stops(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    with EmbeddedPostgres(tmp_path, postgres_binaries) as postgres:
        write(postgres.url(), "first")
        first = postmaster_of(postgres)
    assert not is_alive(first)

    with EmbeddedPostgres(tmp_path, postgres_binaries) as postgres:
        assert notes(postgres.url()) == ["first"]
        assert postgres.data == tmp_path / f"pg-{postgres_binaries.major}"


def test_only_its_owner_can_reach_it(tmp_path: Path, postgres_binaries: Binaries) -> None:
    with EmbeddedPostgres(tmp_path, postgres_binaries) as postgres:
        with psycopg.connect(postgres.url()) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        password = (postgres.data / "headway.pgpass").read_text().strip().rpartition(":")[2]
        without = psycopg.conninfo.make_conninfo(postgres.url(), passfile="/dev/null")

        assert password not in postgres.url()
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
        assert stat.S_IMODE((postgres.data / "headway.pgpass").stat().st_mode) == 0o600
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(without)


def test_what_was_committed_is_durable(tmp_path: Path, postgres_binaries: Binaries) -> None:
    with (
        EmbeddedPostgres(tmp_path, postgres_binaries) as postgres,
        psycopg.connect(postgres.url()) as connection,
    ):
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert connection.execute(f"SHOW {setting}").fetchone() == ("on",)


def test_a_second_owner_is_refused_and_told_what_to_do(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    with (
        EmbeddedPostgres(tmp_path, postgres_binaries),
        pytest.raises(
            OwnedElsewhere,
            match=rf"process {os.getpid()}.*\n.*kill {os.getpid()}.*HEADWAY_HOME=DIR",
        ),
    ):
        EmbeddedPostgres(tmp_path, postgres_binaries)


def test_data_of_another_major_version_is_refused_with_the_command(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    foreign = tmp_path / "pg-14"
    foreign.mkdir()

    with pytest.raises(
        ForeignMajor, match=rf"PostgreSQL 14.*\n.*headway up --postgres-bin.*\n.*mv {foreign}"
    ):
        EmbeddedPostgres(tmp_path, postgres_binaries)
    # The refusal gives the home back.
    foreign.rename(tmp_path / "pg-14.old")
    EmbeddedPostgres(tmp_path, postgres_binaries).release()


def test_a_data_directory_under_a_wrong_name_is_refused(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    data = tmp_path / f"pg-{postgres_binaries.major}"
    data.mkdir()
    (data / "PG_VERSION").write_text("14\n")

    with pytest.raises(ForeignMajor, match=f"mv {data} {tmp_path / 'pg-14'}"):
        EmbeddedPostgres(tmp_path, postgres_binaries)


def test_a_first_start_that_was_cut_off_leaves_nothing_in_the_way(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    half_made = tmp_path / f"pg-{postgres_binaries.major}.new-1"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("half")

    with EmbeddedPostgres(tmp_path, postgres_binaries) as postgres:
        write(postgres.url(), "x")
    assert not half_made.exists()


def test_a_home_too_deep_for_a_socket_gets_a_private_folder_elsewhere(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    home = tmp_path / ("deep" * 20) / ("deeper" * 10)

    with EmbeddedPostgres(home, postgres_binaries) as postgres:
        write(postgres.url(), "x")
        folder = Path(psycopg.conninfo.conninfo_to_dict(postgres.url())["host"])
        assert not folder.is_relative_to(home)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()


def test_a_socket_folder_that_somebody_else_laid_out_is_refused(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    postgres = EmbeddedPostgres(tmp_path, postgres_binaries)

    with pytest.raises(ServerFailed, match="belongs to somebody else"):
        postgres.start()
    postgres.release()


def test_a_server_that_cannot_start_says_why_in_its_own_words(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    postgres = EmbeddedPostgres(
        tmp_path, postgres_binaries, overrides={"shared_buffers": "nonsense"}
    )

    with pytest.raises(ServerFailed, match=r"(?s)nonsense.*The whole log is in"):
        postgres.start()
    postgres.release()


@linux
def test_killing_the_owner_leaves_no_server(tmp_path: Path, postgres_binaries: Binaries) -> None:
    with owner(tmp_path, postgres_binaries) as other:
        write(other.url, "kept")
        watchdog = other.watchdog
        other.process.kill()
        wait_gone(other.postmaster)
        wait_gone(watchdog)

    with EmbeddedPostgres(tmp_path, postgres_binaries) as postgres:
        assert notes(postgres.url()) == ["kept"]


@linux
def test_killing_the_server_ends_its_watchdog_and_the_next_start_has_every_row(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    with EmbeddedPostgres(tmp_path, postgres_binaries) as postgres:
        write(postgres.url(), "kept")
        for _ in range(3):
            os.kill(postmaster_of(postgres), signal.SIGKILL)
            postgres.stop()
            postgres.start()
        assert notes(postgres.url()) == ["kept"]


@linux
def test_a_backend_that_outlives_a_killed_server_does_not_block_the_next_start(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    with EmbeddedPostgres(tmp_path, postgres_binaries) as postgres:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            backend = connection.info.backend_pid
            # Computing, it does not look up to see that its server is gone.
            busy = threading.Thread(target=_run_until_cut_off, args=[connection])
            busy.start()
            os.kill(postmaster_of(postgres), signal.SIGKILL)
            postgres.stop()
            postgres.start()
            busy.join(30)
        assert not busy.is_alive()
        assert not is_alive(backend)


_READ_MYSELF = "import sys; open(sys.executable, 'rb').close()"
BUSY = "SELECT count(*) FROM generate_series(1, 3000000000)"


def _run_until_cut_off(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.OperationalError):
        connection.execute(BUSY)


@linux
def test_a_server_that_lost_its_watchdog_and_its_owner_is_replaced(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    with owner(tmp_path, postgres_binaries) as other:
        write(other.url, "kept")
        os.kill(other.watchdog, signal.SIGKILL)
        other.process.kill()
        other.process.wait(30)
        assert is_alive(other.postmaster)

        with EmbeddedPostgres(tmp_path, postgres_binaries) as postgres:
            assert not is_alive(other.postmaster)
            assert notes(postgres.url()) == ["kept"]


@linux
def test_a_pid_file_that_names_a_stranger_is_no_obstacle(
    tmp_path: Path, postgres_binaries: Binaries
) -> None:
    with EmbeddedPostgres(tmp_path, postgres_binaries) as postgres:
        os.kill(postmaster_of(postgres), signal.SIGKILL)
        postgres.stop()
        pid_file = postgres.data / "postmaster.pid"
        # The machine was restarted, and the number is now that of a long-lived process of ours.
        stranger = subprocess.Popen(["sleep", "600"])
        try:
            lines = pid_file.read_text().splitlines()
            pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            postgres.start()
            write(postgres.url(), "x")
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait(30)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
def test_root_without_user_namespaces_steps_down_to_nobody(
    tmp_path_factory: pytest.TempPathFactory, postgres_binaries: Binaries
) -> None:
    with _open_to_all(tmp_path_factory) as home:
        uid = gid = 65534
        switch = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
        with EmbeddedPostgres(
            home, postgres_binaries, descent=Descent(switch, owner=(uid, gid))
        ) as postgres:
            write(postgres.url(), "kept")
            assert postgres.data.stat().st_uid == uid
        # The next start takes the same way, because the files tell.
        with EmbeddedPostgres(home, postgres_binaries) as postgres:
            assert notes(postgres.url()) == ["kept"]


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_runs_it_as_itself(
    tmp_path_factory: pytest.TempPathFactory, postgres_binaries: Binaries, system_python: str
) -> None:
    with _open_to_all(tmp_path_factory) as home:
        os.chown(home, 65534, 65534)
        switch = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", system_python)
        env = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PATH": os.defpath}
        with owner(home, postgres_binaries, prefix=switch, env=env) as other:
            write(other.url, "x")
            assert Path(f"/proc/{other.postmaster}").stat().st_uid == 65534
            other.process.kill()
            wait_gone(other.postmaster)


@pytest.fixture
def system_python() -> str:
    """An interpreter of this version that everybody may run; the tests' own may lie in root's home."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        probe = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            candidate,
            "-c",
            _READ_MYSELF,
        ]
        if (
            Path(candidate).exists()
            and subprocess.run(probe, capture_output=True, check=False).returncode == 0
        ):
            return candidate
    pytest.skip("no interpreter of this version that an ordinary user may run")


@contextmanager
def _open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that another user can reach: pytest's own are closed to others."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="headway-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
