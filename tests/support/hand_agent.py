"""An agent started by hand, beside or in place of that of `headway up`: through a proxy, in a pool and state directory of its own."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from support.eventually import eventually
from support.stack import FLOWS, HEADWAY, Stack


def make_pool(stack: Stack, name: str) -> None:
    permits = stack.api("GET", "/pools/local")["permits"]
    stack.api("POST", "/pools", {"name": name, "permits": permits})


class HandAgent:
    """`headway agent start` on `port` of this machine or on `server`, enrolled into `pool`; `before` is what its command begins with."""

    def __init__(
        self,
        stack: Stack,
        pool: str,
        directory: Path,
        *words: str,
        port: int = 0,
        server: str = "",
        before: Sequence[str] = (),
        slots: int = 4,
        root: Path = FLOWS,
    ) -> None:
        self.stack, self.pool, self.state = stack, pool, directory / "state"
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "agent.log"
        self._token = directory / "token"
        self._token.write_text(self.token())
        environments = stack.home / "agent" / "environments.toml"
        server = server or f"127.0.0.1:{port or stack.grpc_port}"
        self.command = [
            *before,
            *(str(HEADWAY), "agent", "start", "--server", server, "--state-dir", str(self.state)),
            *("--root", str(root), "--environments", str(environments), "--slots", str(slots)),
            *("--token-file", str(self._token), "--pool", pool, *words),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def token(self) -> str:
        return str(self.stack.api("POST", "/enrolment-tokens", {"pool": self.pool})["token"])

    def set_token(self, text: str) -> None:
        """In place of the good one."""
        self._token.write_text(text)

    def token_text(self) -> str:
        return self._token.read_text()

    def start(self) -> psutil.Process:
        """Starts it and returns once the control plane knows its session."""
        before = self.log_lines("connected")
        process = self.launch()
        eventually(lambda: self._connected() - before, what=f"an agent in pool {self.pool}")
        return psutil.Process(process.pid)

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts it and returns at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.stack.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def _connected(self) -> set[str]:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return self.log_lines("connected")

    def log_lines(self, word: str) -> set[str]:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return {line for line in text.splitlines() if word in line}

    def wait(self, seconds: float = 30) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> None:
        """Drained; whatever it executed has ended before, or the test is wrong."""
        if self.process is None or self.process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise

    def run_directories(self, run: str) -> dict[int, Path]:
        folder = self.state / "runs" / run
        return {int(p.name): p for p in sorted(folder.iterdir())} if folder.exists() else {}


@contextmanager
def hand_agent(
    stack: Stack, pool: str, directory: Path, *words: str, **more
) -> Iterator[HandAgent]:
    agent = HandAgent(stack, pool, directory, *words, **more)
    try:
        agent.start()
        yield agent
    finally:
        agent.stop()
