"""`headway up` as a person starts it: the real control plane and the real agent on the embedded database."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import Binaries
from support.processes import wait_gone

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

HEADWAY = (sys.executable, "-m", "headway.cli.main")
WHO = {"server": "control plane", "agent": "agent"}


class Up:
    """The command, its words, and the processes it keeps."""

    def __init__(self, home: Path, postgres_bin: Path) -> None:
        self.home = home
        self.address = ""
        options = [
            "--home",
            str(home),
            "--postgres-bin",
            str(postgres_bin),
            "--http-port",
            "0",
            "--grpc-port",
            "0",
        ]
        self.process = subprocess.Popen(
            [*HEADWAY, "up", *options],
            stdout=subprocess.PIPE,
            text=True,
            cwd=home.parent,
            start_new_session=True,
        )

    def hears(self, pattern: str) -> re.Match[str]:
        """Read on until a line matches; pytest's own time limit guards the wait."""
        heard = []
        for line in self.process.stdout:
            heard.append(line)
            if match := re.search(pattern, line):
                return match
        logs = "".join(
            f"\n{path.name}:\n{path.read_text()[-3000:]}"
            for path in (self.home / "log").glob("*.log")
        )
        raise AssertionError(f"never said {pattern!r}: {''.join(heard)}{logs}")

    def get(self, path: str) -> dict:
        profile = json.loads((self.home / "profile.json").read_text())
        request = urllib.request.Request(
            f"{profile['url']}/api/v1{path}",
            headers={"Authorization": f"Bearer {profile['token']}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def pid_of(self, verb: str) -> int:
        """Find the part among the children of the command."""
        [pid] = [child for child in self.children() if verb in _words(child)]
        return pid

    def children(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [
            int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()
        ]

    def postmaster(self) -> int:
        [pid_file] = self.home.glob("pg-*/postmaster.pid")
        return int(pid_file.read_text().split()[0])


def _words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


@pytest.fixture
def running(tmp_path: Path, postgres_binaries: Binaries) -> Iterator[Up]:
    up = Up(tmp_path / "home", postgres_binaries.folder)
    try:
        up.address = up.hears(r"Headway is ready: (http://127.0.0.1:\S+)")[1]
        yield up
    finally:
        if up.process.poll() is None:
            up.process.send_signal(signal.SIGTERM)
        up.process.communicate(timeout=60)


def test_it_serves_survives_kills_and_drains(running: Up) -> None:
    assert running.get("/whoami")["workspace"]["name"] == "default"
    [agent] = running.get("/agents")["items"]
    assert (agent["status"], agent["pool"]["name"]) == ("connected", "local")

    os.kill(running.postmaster(), signal.SIGKILL)
    running.hears("PostgreSQL is back")
    for verb, name in WHO.items():
        os.kill(running.pid_of(verb), signal.SIGKILL)
        running.hears(f"{name} is back")
    assert running.get("/whoami")["workspace"]["name"] == "default"
    assert [item["id"] for item in running.get("/agents")["items"]] == [agent["id"]]

    left = [*running.children(), running.postmaster()]
    running.process.send_signal(signal.SIGINT)
    running.process.communicate(timeout=60)
    assert running.process.returncode == 0
    for pid in left:
        wait_gone(pid)


def test_its_address_signs_in_and_stands_in_no_log(running: Up) -> None:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(running.address, timeout=30) as page:
        assert page.url.endswith("/runs")
        assert "Sign in" not in page.read().decode()
    with browser.open(f"{running.address}&next=/agents", timeout=30) as page:
        assert page.url.endswith("/agents")
    with browser.open(f"{running.address}&next=//elsewhere", timeout=30) as page:
        assert page.url.endswith("/runs")

    token = json.loads((running.home / "profile.json").read_text())["token"]
    assert token in running.address
    logs = [path.read_text() for path in (running.home / "log").iterdir()]
    assert logs
    assert not [log for log in logs if token in log]


def test_killing_it_leaves_no_process(running: Up) -> None:
    left = [*running.children(), running.postmaster()]
    running.process.kill()
    for pid in left:
        wait_gone(pid)


def test_a_port_in_use_is_a_message(tmp_path: Path, postgres_binaries: Binaries) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [
            *HEADWAY,
            "up",
            "--home",
            str(tmp_path / "home"),
            "--http-port",
            port,
            "--grpc-port",
            "0",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert f"127.0.0.1:{port} is in use by another program. Nothing was started." in done.stderr


def test_the_demo_holds_and_leaves_nothing(tmp_path: Path, postgres_binaries: Binaries) -> None:
    command = [
        *HEADWAY,
        "demo",
        "--home",
        str(tmp_path / "home"),
        "--http-port",
        "0",
        "--grpc-port",
        "0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)

    assert (done.returncode, "NOT" in done.stdout) == (0, False), done.stdout
    assert not list((tmp_path / "home").glob("pg-*/postmaster.pid"))
