"""Starts a template process and attempts under it, as the agent does, without the agent."""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdk" / "src"
TESTS = ROOT / "tests"
DEADLINE = 20.0


class TemplateProcess:
    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        command = [
            sys.executable,
            "-P",
            "-m",
            "headway.runtime",
            "--fd",
            str(theirs.fileno()),
            *arguments,
        ]
        path = os.pathsep.join(map(str, (SDK, TESTS)))
        self.process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path} | (env or {}),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        ours.settimeout(DEADLINE)
        self.sock = ours
        self.ready = self.receive()

    def send(self, **frame: Any) -> None:
        raw = json.dumps(frame).encode()
        self.sock.sendall(struct.pack(">I", len(raw)) + raw)

    def receive(self) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self.sock.recv(4, socket.MSG_WAITALL))
        frame: dict[str, Any] = json.loads(self.sock.recv(length, socket.MSG_WAITALL))
        return frame

    def spawn(self, run_dir: Path, number: str = "1") -> dict[str, Any]:
        self.send(type="spawn", id=number, run_dir=str(run_dir))
        return self.receive()

    def close(self) -> int:
        self.sock.close()
        return self.process.wait(DEADLINE)


@contextlib.contextmanager
def template(
    *arguments: str, child: str = "support.fake_child:run_attempt", **env: str
) -> Iterator[TemplateProcess]:
    process = TemplateProcess("--child", child, *arguments, env=env)
    try:
        yield process
    finally:
        assert process.close() == 0


def write_start(
    run_dir: Path, do: str = "nothing", *, extra: dict[str, Any] | None = None, **arguments: Any
) -> Path:
    run_dir.mkdir(parents=True, exist_ok=True)
    start = {
        "protocol": 1,
        "run": "11111111-1111-1111-1111-111111111111",
        "fence": 1,
        "run_name": "r",
        "flow": "f",
        "deployment": "d",
        "entrypoint": "m:f",
        "root": str(run_dir),
        "environment": "e",
        "env": {"PATH": os.environ["PATH"]},
        "parameters": {"do": do, "with": arguments},
        "journal": [],
        "store": "",
        "wake": "",
        "cancel_grace_us": 5_000_000,
        "kill_grace_us": 5_000_000,
        "traceparent": "",
        "durable": "group",
    }
    (run_dir / "start.json").write_text(json.dumps(start | (extra or {})))
    return run_dir


def wait_dead(pid: int) -> None:
    """Waits until a process that is not ours is gone, woken by the kernel."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = select.select([fd], [], [], DEADLINE)
        assert ready, f"process {pid} lives on"
    finally:
        os.close(fd)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


class WakeSocket:
    """The agent's end of the wake datagrams: how tests wait for an attempt."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(DEADLINE)

    def until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            self.sock.recv(4096)

    def close(self) -> None:
        self.sock.close()


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def lines_of(run_dir: Path) -> list[dict[str, Any]]:
    output = run_dir / "output.log"  # comes with its first line
    text = output.read_text() if output.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def texts_of(run_dir: Path) -> list[str]:
    return [line["text"] for line in lines_of(run_dir)]
