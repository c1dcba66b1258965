"""What benchmarks share: sizes, a whole Headway, a database server of their own, the machine's raw limits."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from headway_control_plane.db.embedded import EmbeddedPostgres
from headway_control_plane.db.migrate import migrate
from support.postgres import server_programs
from support.stack import Stack, stack

FLOWS = Path(__file__).with_name("flows")


class Bench:
    """Handed to every benchmark. What is expensive is made when first asked for and ended with the run."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self._exits = ExitStack()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def size(self, full: int, quick: int) -> int:
        """How many of something: fewer in a run that is to show only that all of it works."""
        return quick if self.quick else full

    @cached_property
    def folder(self) -> Path:
        return Path(self._exits.enter_context(TemporaryDirectory(prefix="hw-bench-")))

    @cached_property
    def stack(self) -> Stack:
        """A Headway as `headway up` starts it, with the settings that users have, and eight slots."""
        # Compiled flows are kept, as everywhere but in containers that are being built.
        settings = {"HEADWAY_AGENT_SLOTS": "8", "PYTHONDONTWRITEBYTECODE": ""}
        # Nor does anybody but tests keep a history of leases, a line for each beginning and end.
        settings["HEADWAY_AGENT_LEASE_HISTORY"] = ""
        running = self._exits.enter_context(
            stack(self.folder / "up", root=FLOWS, pace={}, **settings)
        )
        for name in ("clocked", "nothing", "many_calls"):
            running.deploy(f"noop:{name}", name, root=FLOWS)
        for name in ("clocked", "nothing"):
            running.deploy(f"noop:{name}", f"{name}-kept", "--isolation", "reuse", root=FLOWS)
        return running

    def database(self, name: str, **overrides: str) -> Server:
        """A migrated database on a server of its own."""
        home = self.folder / name
        postgres = self._exits.enter_context(
            EmbeddedPostgres(home, server_programs("embedded"), overrides=overrides)
        )
        postgres.create_database(name)
        migrate(postgres.url(name))
        return Server(postgres, postgres.url(name))


class Server:
    """A PostgreSQL that was started for a benchmark."""

    def __init__(self, postgres: EmbeddedPostgres, url: str) -> None:
        self.url = url
        self.postmaster = int((postgres.data / "postmaster.pid").read_text().splitlines()[0])


def python_start_ms() -> float:
    """Fork, exec and end of an interpreter that does nothing."""
    return elapsed_ms(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))


def fork_ms() -> float:
    """A fork that ends at once, and its reaping."""

    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    return elapsed_ms(fork)


def sync_ms(folder: Path) -> float:
    """Append 300 bytes and make them durable."""
    path = folder / "sync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def sync() -> None:
        os.write(descriptor, b"x" * 300)
        getattr(os, "fdatasync", os.fsync)(descriptor)

    try:
        return elapsed_ms(sync)
    finally:
        os.close(descriptor)


def elapsed_ms(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def machine(folder: Path) -> str:
    """The line that says on what all figures were measured."""
    syncs = sorted(sync_ms(folder) for _ in range(100))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, load {load}, {1e3 / syncs[50]:,.0f} fdatasync/s (p95 {syncs[95]:.1f} ms), "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
