"""Machines that share a cache: on each an agent's part in it, and flow processes over a project of its own."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from headway_agent.clock import SystemClock
from headway_agent.loops.cache_loop import CacheLoop
from headway_agent.loops.store_loop import serve
from headway_agent.spool.shared_cache import SharedCache
from headway_agent.spool.value_store import ValueStore, open_store
from support.flow_process import Outcome, Project

DEADLINE_S = 60


class Machine:
    """`url` is the store, or one that stands for it. Runs are over, and what they made is published, when `run` returns."""

    def __init__(
        self,
        folder: Path,
        url: str | ValueStore,
        socket: Path,
        *,
        workspace: str = "w",
        pool: str = "p",
        project: str = "",
        look_s: float = DEADLINE_S,
    ) -> None:
        folder.mkdir(parents=True)
        self.project = Project(folder)
        self.store = open_store(url) if isinstance(url, str) else url
        self.shared = SharedCache(self.store, workspace, 1 << 30)
        self.socket = socket
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.whose = {"pool": pool, "project": project}
        clock = SystemClock()
        self.loop = CacheLoop(
            self.shared,
            socket,
            folder / "cache.socket",
            self.runs,
            clock.monotonic,
            lambda: 0.99,
            look_s=look_s,
            pool=pool,
        )

    def run(self, *, environment: str = "etl", **parameters: object) -> Outcome:
        """One of its own: no journal."""
        run = str(uuid4())
        self.project.runs = self.runs / run
        self.project.logs.clear()
        start = {"run": run, "salt": run, "shared_cache": str(self.socket), **self.whose}
        process = self.project.start(parameters, environment=environment, **start)
        outcome = process.finish_and_keep(self.project)
        serve(self.store, self.runs / run / "1", self.shared)
        return outcome

    def executed(self) -> list[str]:
        """What the bodies of its tasks wrote into `made`."""
        path = self.project.root / "made"
        return path.read_text().split() if path.exists() else []


def reason(outcome: Outcome, task: str = "load") -> str:
    """What the cache said of a run's one call of the task."""
    (end,) = outcome.of("call.ended", task)
    return str(end["cache"]["reason"])


@contextmanager
def listening(*machines: Machine) -> Iterator[None]:
    """Their agents answer, in a thread."""
    ready = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def serve_all() -> None:
        async def all_of_them() -> None:
            async with asyncio.TaskGroup() as group:
                for machine in machines:
                    group.create_task(machine.loop.run())

        task = asyncio.create_task(all_of_them())
        stop.append((asyncio.get_running_loop(), task))
        while not all(machine.socket.exists() for machine in machines):
            await asyncio.sleep(0)
        ready.set()
        await asyncio.wait([task])

    thread = threading.Thread(target=lambda: asyncio.run(serve_all()))
    thread.start()
    try:
        assert ready.wait(DEADLINE_S)
        yield
    finally:
        for loop, task in stop:
            loop.call_soon_threadsafe(task.cancel)
        thread.join(DEADLINE_S)


@contextmanager
def sockets() -> Iterator[Path]:
    """A directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="hw") as folder:
        yield Path(folder)
