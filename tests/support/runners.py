"""A runner on a state directory of its own, over the fake child or the real one."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from headway_agent.clock import SystemClock
from headway_agent.runner.api import Assignment, AttemptKey, Held
from headway_agent.runner.attempts import Runner, RunnerOptions
from headway_agent.runner.environments import Environment, update
from headway_agent.runner.launch import LaunchOptions
from headway_agent.runner.state_dir import StateDir
from headway_agent.spool.agent_db import AgentDb
from support.attempts import SDK, TESTS

FAKE_CHILD = ("--child", "support.fake_child:run_attempt", "--allow-faults")
RUN = "22222222-2222-2222-2222-222222222222"
DEADLINE = 20.0


class Agent:
    """What main puts together, less the session."""

    def __init__(self, state: Path, **changes: Any) -> None:
        self.state = state
        self.root = state.parent / "code"
        self.root.mkdir(exist_ok=True)
        file = state.parent / "environments.toml"
        if not file.exists():
            update(file, Environment("e", sys.executable, str(self.root)))
        launch = {
            "environments_file": file,
            "roots": [self.root],
            "base_env": {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(map(str, (SDK, TESTS))),
                "HEADWAY_TOKEN": "secret",
            },
            "template_arguments": FAKE_CHILD,
        }
        options = {
            name: changes.pop(name)
            for name in ("sweep_every", "keep_us", "keep_bytes")
            if name in changes
        }
        self.dir = StateDir(state)
        self.db = AgentDb.open(self.dir.database)
        self.runner = Runner(
            self.dir,
            self.db,
            RunnerOptions(launch=LaunchOptions(**(launch | changes)), **options),
            SystemClock(),
        )

    async def stop(self) -> None:
        await self.runner.close()
        self.db.close()
        self.dir.close()

    def held(self, key: AttemptKey) -> Held | None:
        return next((held for held in self.runner.held() if held.key == key), None)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not happened():
                await self.runner.wait_for_facts()

    async def until_state(self, key: AttemptKey, state: str) -> None:
        def reached() -> bool:
            held = self.held(key)
            return held is not None and held.state == state

        await self.until(reached)

    async def until_ready(self, key: AttemptKey) -> None:
        """The fake child says `call.retrying` once it is where the test wants it."""
        await self.until(lambda: (held := self.held(key)) is not None and held.last_seq >= 3)

    async def facts(self, key: AttemptKey) -> list[dict[str, Any]]:
        return [
            json.loads(fact.frame)
            for fact in await self.runner.facts(key, 0, max_items=100_000, max_bytes=1 << 30)
        ]

    async def last(self, key: AttemptKey) -> dict[str, Any]:
        return (await self.facts(key))[-1]


@contextlib.asynccontextmanager
async def agent(state: Path, **changes: Any) -> AsyncIterator[Agent]:
    one = Agent(state, **changes)
    try:
        await one.runner.open()
        yield one
    finally:
        await one.stop()


def assignment(
    do: str = "nothing", *, fence: int = 1, run: str = RUN, environment: str = "e", **arguments: Any
) -> Assignment:
    changes: Mapping[str, Any] = arguments.pop("changes", {})
    fields = {
        "key": AttemptKey(run, fence),
        "run_name": "n",
        "flow": "f",
        "deployment": "d",
        "environment": environment,
        "entrypoint": "m:f",
        "parameters": {"do": do, "with": arguments},
    }
    return Assignment(**(fields | changes))
