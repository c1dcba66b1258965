"""A whole Headway on this machine, as `headway up` starts it, with short leases: what fault tests kill and cut."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from headway_control_plane.db.embedded.socket_directory import socket_directory
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.log.invariants import Violation, check
from headway_control_plane.log.reader import Reader
from support.eventually import eventually

HEADWAY = Path(sys.executable).with_name("headway")
FLOWS = Path(__file__).parent / "flows"
TERMINAL = {"completed", "failed", "crashed", "cancelled"}
# In the state directory of each agent; `support.holders` reads it.
LEASE_HISTORY = "lease-history.jsonl"
# A tenth and less of the defaults; the ratios between them stay.
SHORT = {
    "HEADWAY_LEASE_TTL": "3",
    "HEADWAY_RENEW_INTERVAL": "1",
    "HEADWAY_RECONNECT_CAP": "1",
    "HEADWAY_REASSIGN_AFTER": "6",
    "HEADWAY_REPLICA_TTL": "3",
    "HEADWAY_SWEEP_INTERVAL": "0.3",
}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Api:
    """The REST API, by the standard library alone."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        status, answer = self.answer(method, path, body, **headers)
        assert status < 400, f"{method} {path}: {status} {answer}"
        return answer

    def answer(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        head = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **headers,
        }
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, head, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def patiently(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The same through a control plane that is just being killed: asks again until it answers."""

        def once() -> Any:
            with suppress(OSError, json.JSONDecodeError):
                status, answer = self.answer(method, path, body, **headers)
                return answer if status < 500 else None
            return None

        return eventually(once, what=f"{method} {path}")


class Stack:
    """`headway up` in a home of its own. Parts are found by their command lines among its descendants."""

    def __init__(
        self,
        home: Path,
        *,
        root: Path = FLOWS,
        pace: Mapping[str, str] = SHORT,
        **variables: str,
    ) -> None:
        self.home = home
        http, grpc = free_ports(2)
        self.grpc_port = grpc
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")},
            **pace,
            "HEADWAY_HOME": str(home),
            "HEADWAY_HTTP_PORT": str(http),
            "HEADWAY_GRPC_PORT": str(grpc),
            "HEADWAY_AGENT_LEASE_HISTORY": LEASE_HISTORY,
            **variables,
        }
        home.mkdir(parents=True, exist_ok=True)
        self.log = home / "up.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [HEADWAY, "up"],
                cwd=root,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(self._is_ready, seconds=90, what="headway up is ready")
        profile = json.loads((home / "profile.json").read_text())
        self.api = Api(profile["url"], profile["token"])

    def _is_ready(self) -> bool:
        text = self.log.read_text(errors="replace")
        assert self.process.poll() is None, f"headway up ended:\n{text}"
        return "Headway is ready" in text

    def stop(self) -> None:
        """Ctrl-C, and nothing is left."""
        family = (
            psutil.Process(self.process.pid).children(recursive=True)
            if self.process.poll() is None
            else []
        )
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        finally:
            _, left = psutil.wait_procs(family, timeout=20)
            commands = []
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    commands.append(process.cmdline())
                    process.kill()
        # Supervisors of open attempts outlive their agent on purpose; tests let their runs end first.
        assert not left, f"left over: {commands}\n{self.log.read_text()[-2000:]}"

    def part(self, name: str) -> psutil.Process:
        """The living process of `agent`, `server` or `postgres`."""

        def find() -> psutil.Process | None:
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    words = process.cmdline()
                    if _plays(name, words):
                        return process
            return None

        return eventually(find, what=f"a living {name}")

    def supervisor(self, run: str, fence: int) -> psutil.Process | None:
        """The supervisor of an attempt, by what it wrote of itself."""
        for frame in self.frames(run, fence):
            if frame["type"] == "attempt.starting":
                return _alive(frame["pid"])
        return None

    def flow_process(self, run: str, fence: int) -> psutil.Process | None:
        for frame in self.frames(run, fence):
            if frame["type"] == "attempt.started":
                return _alive(frame["pid"])
        return None

    def frames(self, run: str, fence: int) -> list[dict[str, Any]]:
        from headway.runtime.frames_log import read

        path = self.run_directory(run, fence) / "frames.log"
        return [frame for _, frame in read(path)] if path.exists() else []

    def run_directory(self, run: str, fence: int) -> Path:
        return self.home / "agent" / "runs" / run / str(fence)

    def run_directories(self, run: str) -> dict[int, Path]:
        folder = self.home / "agent" / "runs" / run
        return {int(p.name): p for p in sorted(folder.iterdir())} if folder.exists() else {}

    def deploy(self, entrypoint: str, name: str, *options: str, root: Path = FLOWS) -> None:
        done = self.headway("deploy", entrypoint, "--name", name, "--root", str(root), *options)
        assert done.returncode == 0, done.stderr + done.stdout

    def headway(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HEADWAY, *words],
            env=self.environment,
            cwd=cwd or FLOWS,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start_run(self, deployment: str, **parameters: object) -> str:
        return self.api("POST", "/runs", {"deployment": deployment, "parameters": parameters})["id"]

    def ended(self, run: str, seconds: float = 90) -> dict[str, Any]:
        """The run once it is terminal."""

        def once() -> dict[str, Any] | None:
            found = self.api.patiently("GET", f"/runs/{run}")
            return found if found["state"] in TERMINAL else None

        return eventually(once, seconds=seconds, what=f"run {run} ends")

    @property
    def database_url(self) -> str:
        return local_database_url(self.home)

    def violations(self) -> list[Violation]:
        """Every invariant, over every workspace."""
        return asyncio.run(invariants(self.database_url))


def local_database_url(home: Path) -> str:
    """Where `headway up` with this home keeps its database, without claiming it."""
    data = next(home.glob("pg-*"))
    return f"postgresql://headway@/headway?host={socket_directory(home)}&passfile={data / 'headway.pgpass'}"


async def invariants(url: str) -> list[Violation]:
    found: list[Violation] = []
    async with Database(url, (Role.AUDITOR, Role.AUTH)) as database:
        async with database.transaction(Role.AUTH) as connection:
            rows = await (
                await connection.execute("SELECT ws, id FROM headway.workspace ORDER BY ws")
            ).fetchall()
        reader = Reader(database, role=Role.AUDITOR)
        for ws, workspace in rows:
            found += await check(database, reader, ws, workspace)
    return found


def _plays(name: str, words: list[str]) -> bool:
    if name == "postgres":
        return bool(words) and Path(words[0]).name in {"postgres", "postgres:"} and "-D" in words
    return {"agent": "agent", "server": "server"}[name] in words and "start" in words


def _alive(pid: int) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


@contextmanager
def stack(home: Path, **options: Any) -> Iterator[Stack]:
    running = Stack(home, **options)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(home / "pg-18", ignore_errors=True)
