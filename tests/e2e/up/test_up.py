"""`headway up` with a real PostgreSQL; the control plane and the agent are stand-ins that only live and drain."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from headway_control_plane.db.errors import OwnedElsewhere
from headway_control_plane.db.migrate import require_current
from headway_control_plane.main.ports import PortTaken
from headway_control_plane.main.profile import Profile
from headway_control_plane.main.up import Installation, install, up
from headway_control_plane.settings import Settings
from support.postgres import Binaries
from support.processes import wait_gone

pytestmark = [pytest.mark.postgres, pytest.mark.process]

SUPPORT = Path(__file__).parents[2] / "support"
DEADLINE = 60.0


class Access:
    """Hands out tokens and remembers which one was known."""

    def __init__(self) -> None:
        self.known: list[str | None] = []
        self.enrolments = 0

    async def api_token(self, known: str | None) -> str:
        self.known.append(known)
        return known or "headway_key_1"

    async def enrolment_token(self) -> str:
        self.enrolments += 1
        return f"headway_enrol_{self.enrolments}"


def stand_in(installation: Installation) -> Installation:
    """Let the stand-in play the parts; an agent counts as connected once it has told of its start."""

    async def connected(_profile: Profile, _certificate: Path | None) -> frozenset[str]:
        started = installation.settings.home / "started"
        lines = started.read_text().splitlines() if started.exists() else []
        return frozenset(line for line in lines if json.loads(line)["words"][0] == "agent")

    program = (sys.executable, str(SUPPORT / "program.py"))
    return replace(installation, program=program, connected=connected)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def settings(tmp_path: Path, postgres_binaries: Binaries) -> Settings:
    return Settings.read(
        {},
        home=tmp_path / "home",
        postgres_bin=postgres_binaries.folder,
        http_port=free_port(),
        grpc_port=free_port(),
    )


class Running:
    """An `up` in this process, what it says, and the starts of its parts."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self.installation = stand_in(install(settings, Path.cwd(), lambda _: access))
        self._said: asyncio.Queue[str] = asyncio.Queue()
        self.task: asyncio.Task[int] | None = None

    async def __aenter__(self) -> "Running":
        self.task = asyncio.create_task(up(self.installation, say=self._said.put_nowait))
        await self.heard("Headway is ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(self.task, DEADLINE) == 0

    async def heard(self, wanted: str) -> str:
        while wanted not in (said := await asyncio.wait_for(self._said.get(), DEADLINE)):
            pass
        return said

    def starts(self, part: str) -> list[dict]:
        lines = (self.installation.settings.home / "started").read_text().splitlines()
        return [told for told in map(json.loads, lines) if told["words"][0] == part]


async def test_it_brings_everything_up_and_takes_it_down(settings: Settings) -> None:
    async with Running(settings, Access()) as running:
        [server], [agent] = running.starts("server"), running.starts("agent")
        require_current(server["database_url"])

        assert agent["options"]["--server"] == settings.grpc_url
        assert agent["options"]["--root"] == str(Path.cwd())
        assert agent["token"] == "headway_enrol_1"
        assert not running.installation.enrolment_file.exists()
        profile = running.installation.profile_path
        assert Profile.read(profile) == Profile(settings.http_url, "headway_key_1")
        assert stat.S_IMODE(profile.stat().st_mode) == 0o600

    assert (settings.home / "log" / "agent.log").read_text() == "agent drained\n"
    assert (settings.home / "log" / "control-plane.log").read_text() == "server drained\n"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server["database_url"])


async def test_a_second_start_keeps_the_token(settings: Settings) -> None:
    access = Access()
    for _ in range(2):
        async with Running(settings, access):
            pass

    assert access.known == [None, "headway_key_1"]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the postmaster by its pid file")
async def test_what_is_killed_comes_back(settings: Settings) -> None:
    async with Running(settings, Access()) as running:
        postgres = running.installation.postgres
        assert postgres is not None
        os.kill(int((postgres.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        await running.heard("PostgreSQL is back")
        os.kill(running.starts("server")[-1]["pid"], signal.SIGKILL)
        await running.heard("control plane is back")
        os.kill(running.starts("agent")[-1]["pid"], signal.SIGKILL)
        await running.heard("agent is back")

        assert [told["token"] for told in running.starts("agent")] == [
            "headway_enrol_1",
            "headway_enrol_2",
        ]
        require_current(postgres.url())


@pytest.mark.parametrize("which", ["http", "grpc"])
def test_a_port_in_use_is_told_before_anything_starts(settings: Settings, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", getattr(settings, f"{which}_port")))
        taken.listen()
        with pytest.raises(
            PortTaken, match=rf"is in use.*Nothing was started.*\n.*headway up --{which}-port"
        ):
            install(settings, Path.cwd(), lambda _: Access())

    assert not (settings.home / "log").exists()
    # The refusal gave the home back.
    install(settings, Path.cwd(), lambda _: Access()).postgres.release()


def test_a_second_up_in_one_home_is_refused(settings: Settings) -> None:
    first = install(settings, Path.cwd(), lambda _: Access())
    with pytest.raises(OwnedElsewhere):
        install(settings, Path.cwd(), lambda _: Access())
    first.postgres.release()


UP = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_up import Access, stand_in
from headway_control_plane.main.up import install, up
from headway_control_plane.settings import Settings

installation = stand_in(install(Settings.read(), Path.cwd(), lambda _: Access()))
sys.exit(asyncio.run(up(installation, say=lambda text: print(text, flush=True))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="finds the postmaster by its pid file")
def test_when_up_itself_is_killed_nothing_of_it_stays(settings: Settings) -> None:
    paths = os.pathsep.join([*(path for path in sys.path if path), str(SUPPORT.parent)])
    environment = {**os.environ, **settings.variables(), "PYTHONPATH": paths}
    command = [sys.executable, "-c", UP, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as running:
        assert any("Headway is ready" in line for line in iter(running.stdout.readline, ""))
        started = [
            json.loads(line)["pid"] for line in (settings.home / "started").read_text().splitlines()
        ]
        [pid_file] = settings.home.glob("pg-*/postmaster.pid")
        postmaster = int(pid_file.read_text().split()[0])
        running.kill()
        for pid in (*started, postmaster):
            wait_gone(pid)

    assert not pid_file.exists()
    assert (settings.home / "log" / "agent.log").read_text() == "agent drained\n"
