"""Runs that share processes (`isolation = reuse`), by a real agent: flows that look at their process, and flows that meddle with it."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from headway_agent.runner.api import Assignment, AttemptKey
from headway_agent.runner.pairs import Pair
from support.runners import DEADLINE, Agent, agent, assignment

FLOWS = """
import atexit, logging, os, pathlib, random, signal, subprocess, sys, threading, time

from headway import flow, sleep, task

os.environ["SET_BY_IMPORT"] = "1"
seen = []


def note(what):
    with open("effects", "a") as file:
        file.write(f"{what}\\n")


@task
def double(n):
    return 2 * n


def state():
    mask = os.umask(0o022)
    os.umask(mask)
    return {
        "pid": os.getpid(), "runs": len(seen), "env": dict(os.environ), "cwd": os.getcwd(), "path": list(sys.path),
        "handlers": len(logging.getLogger().handlers), "own": len(logging.getLogger("own").handlers),
        "level": logging.getLogger().level, "off": logging.root.manager.disable,
        "signal": str(signal.getsignal(signal.SIGUSR2)), "stdout": sys.stdout is sys.__stdout__, "umask": mask,
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "timers": [signal.getitimer(which)[0] for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "threads": threading.active_count(), "print": print.__name__ + print.__module__, "recursion": sys.getrecursionlimit(),
    }


@flow
def looks(n: int = 0):
    found = state()
    seen.append(n)
    print(f"out {n}")
    futures = [double.submit(i) for i in range(3)]
    return {**found, "sum": sum(f.result() for f in futures)}


@flow(log_prints=True)
def meddles(what: str = "all"):
    seen.append(what)
    print("heard")
    os.environ["MEDDLED"] = "1"
    os.environ.pop("SET_BY_IMPORT")
    os.chdir("/")
    os.umask(0o077)
    sys.path.insert(0, "/nowhere")
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("own").addHandler(logging.StreamHandler())
    logging.disable(logging.INFO)
    signal.signal(signal.SIGUSR2, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
    signal.signal(signal.SIGPROF, lambda *_: None)
    signal.signal(signal.SIGVTALRM, lambda *_: None)
    for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(which, 20)
    sys.stdout = open(os.devnull, "w")
    sys.setrecursionlimit(9_000)
    random.seed(1)
    return state()["pid"]


@flow
def fails():
    raise ValueError("as it must")


@flow
def ends(how: str):
    seen.append(how)
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    if how == "process":
        subprocess.Popen(["sleep", "1000"])
    if how == "stdout":
        os.close(1)
    if how == "memory":
        seen.append(bytearray(200 << 20))
    return os.getpid()


@flow
def waits(name: str = ""):
    note(f"waiting {name} {os.getpid()}")
    threading.Event().wait()


@flow(timeout=0.3)
def late():
    note(f"late {os.getpid()}")
    threading.Event().wait()


@flow
def sleeps():
    double(4)
    sleep(3600)
    return os.getpid()
"""


class Reusing:
    """An agent whose runs share processes."""

    def __init__(self, one: Agent) -> None:
        self.one = one
        self._runs = 0
        self.started: list[AttemptKey] = []
        self._pairs = one.runner.launcher._pairs
        self._changed = asyncio.Event()
        take_in = self._pairs._changed

        def told(pair: Pair) -> None:
            take_in(pair)
            self._changed.set()

        self._pairs._changed = told

    def grant(
        self, flow: str, changes: dict[str, Any] | None = None, **parameters: Any
    ) -> Assignment:
        self._runs += 1
        return assignment(
            run=str(UUID(int=self._runs)),
            changes={
                "entrypoint": f"kept_here:{flow}",
                "parameters": parameters,
                "isolation": "reuse",
                **(changes or {}),
            },
        )

    async def start(
        self, flow: str, changes: dict[str, Any] | None = None, **parameters: Any
    ) -> AttemptKey:
        return await self.take(self.grant(flow, changes, **parameters))

    async def take(self, granted: Assignment) -> AttemptKey:
        await self.one.runner.start(granted)
        self.started.append(granted.key)
        return granted.key

    async def run(
        self, flow: str, changes: dict[str, Any] | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """The last fact of a run that ends by itself; its process is at rest or gone."""
        key = await self.start(flow, changes, **parameters)
        return await self.ended(key)

    async def ended(self, key: AttemptKey) -> dict[str, Any]:
        await self.one.until_state(key, "exited")
        await self.at_rest()
        return await self.one.last(key)

    async def at_rest(self) -> None:
        """No process is under way: each is idle, or ended."""
        async with asyncio.timeout(DEADLINE):
            while self._pairs._busy:
                self._changed.clear()
                await self._changed.wait()

    async def value(
        self, flow: str, changes: dict[str, Any] | None = None, **parameters: Any
    ) -> Any:
        last = await self.run(flow, changes, **parameters)
        assert last["outcome"] == "completed", last
        return json.loads(last["result"]["data"])

    async def lines(self, key: AttemptKey) -> list[str]:
        return [json.loads(line.content)["text"] for line in await self.one.runner.lines(key, 0)]

    def effects(self) -> list[str]:
        return (self.one.root / "effects").read_text().splitlines()

    async def begun(self, key: AttemptKey) -> int:
        """The pid of a flow process that is under way."""
        held = self.one.held
        await self.one.until(lambda: (found := held(key)) is not None and found.last_seq >= 2)
        return int((await self.one.facts(key))[1]["pid"])


@asynccontextmanager
async def reusing(state: Path, **changes: Any) -> AsyncIterator[Reusing]:
    async with agent(state, template_arguments=(), **changes) as one:
        code = one.root / "kept_here.py"
        if not code.exists():
            code.write_text(FLOWS)
            os.utime(code, (1_000_000_000, 1_000_000_000))
        yield Reusing(one)
