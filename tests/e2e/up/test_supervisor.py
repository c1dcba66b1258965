"""The supervisor with real processes: starts, kills, drains, and its own death."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headway_control_plane.clock import SystemClock
from headway_control_plane.main.launch import CannotPrepare, Launch, Part
from headway_control_plane.main.supervision import Patience
from headway_control_plane.main.supervisor import Supervisor
from support.processes import is_alive, wait_gone

pytestmark = pytest.mark.process

PART = Path(__file__).parents[2] / "support" / "part.py"
DEADLINE = 30.0
QUICK = Patience(start=20.0, drain=0.2, terminate=0.2, first_pause=0.01, longest_pause=0.05)


@dataclass
class Stage:
    """A supervisor over scripted parts, and what it said."""

    folder: Path
    patience: Patience = QUICK
    news: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def part(self, name: str, *manners: str) -> Part:
        command = [sys.executable, str(PART)]

        async def prepare() -> Launch:
            return Launch(
                command=lambda lifeline, ready: [
                    *command,
                    str(lifeline),
                    str(ready),
                    name,
                    str(self.journal),
                    *manners,
                ],
                log=self.folder / "log" / f"{name}.log",
            )

        return Part(name, prepare)

    @asynccontextmanager
    async def run(self, *parts: Part) -> AsyncIterator["tuple[Supervisor, asyncio.Task[int]]"]:
        supervisor = Supervisor(
            parts,
            clock=SystemClock(),
            tell=lambda name, news: self.news.put_nowait(f"{name} {news}"),
            on_ready=lambda: self.news.put_nowait("all ready"),
            patience=self.patience,
        )
        task = asyncio.create_task(supervisor.run())
        try:
            yield supervisor, task
        finally:
            if not task.done():
                supervisor.interrupt()
                supervisor.interrupt()
            await asyncio.wait_for(asyncio.wait([task]), DEADLINE)

    async def heard(self, wanted: str) -> None:
        while await asyncio.wait_for(self.news.get(), DEADLINE) != wanted:
            pass

    def story(self, *words: str) -> list[str]:
        lines = [line.rpartition(" ")[0] for line in self.journal.read_text().splitlines()]
        return [line for line in lines if not words or line.split()[1] in words]

    def pid(self, name: str) -> int:
        lines = [line.split() for line in self.journal.read_text().splitlines()]
        return int(
            next(pid for who, word, pid in reversed(lines) if (who, word) == (name, "started"))
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_parts_start_in_order_and_drain_in_the_opposite_order(stage: Stage) -> None:
    async with stage.run(stage.part("a"), stage.part("b"), stage.part("c")) as (supervisor, task):
        await stage.heard("all ready")
        supervisor.interrupt()
        assert await asyncio.wait_for(task, DEADLINE) == 0

    assert stage.story("started") == ["a started", "b started", "c started"]
    assert stage.story("ended") == ["c ended", "b ended", "a ended"]


@pytest.mark.parametrize("name", ["a", "b"])
async def test_a_killed_part_comes_back_and_the_other_is_left_alone(
    stage: Stage, name: str
) -> None:
    async with stage.run(stage.part("a"), stage.part("b")) as (supervisor, task):
        await stage.heard("all ready")
        first = {part: stage.pid(part) for part in "ab"}
        os.kill(first[name], signal.SIGKILL)
        await stage.heard(f"{name} was killed by SIGKILL; starting it again")
        await stage.heard(f"{name} is back")
        changed = [part for part in "ab" if stage.pid(part) != first[part]]
        supervisor.interrupt()
        assert await asyncio.wait_for(task, DEADLINE) == 0

    assert changed == [name]


async def test_a_part_that_never_starts_ends_everything_with_an_exit_code(stage: Stage) -> None:
    async def prepare() -> Launch:
        raise CannotPrepare("no such thing here")

    async with stage.run(stage.part("a"), Part("broken", prepare)) as (_, task):
        assert await asyncio.wait_for(task, DEADLINE) == 1

    assert stage.story() == ["a started", "a drains", "a ended"]
    await stage.heard("broken cannot be started: no such thing here; it does not start")


async def test_a_part_that_is_silent_is_killed_and_tried_again(stage: Stage) -> None:
    stage.patience = Patience(start=0.5, first_pause=0.01, terminate=5.0, start_attempts=2)
    async with stage.run(stage.part("mute", "unready")) as (_, task):
        assert await asyncio.wait_for(task, DEADLINE) == 1

    await stage.heard("mute does not become ready")
    await stage.heard("mute was killed by SIGKILL; it does not start")


async def test_a_part_that_neither_drains_nor_terminates_is_killed(stage: Stage) -> None:
    async with stage.run(stage.part("a"), stage.part("deaf", "stubborn")) as (supervisor, task):
        await stage.heard("all ready")
        deaf = stage.pid("deaf")
        supervisor.interrupt()
        assert await asyncio.wait_for(task, DEADLINE) == 0

    assert not is_alive(deaf)
    assert stage.story("drains", "ended") == ["deaf drains", "a drains", "a ended"]


async def test_a_second_interrupt_waits_for_nobody(stage: Stage) -> None:
    stage.patience = Patience()  # by itself it would wait for half a minute
    async with stage.run(stage.part("a", "stubborn"), stage.part("b", "stubborn")) as (
        supervisor,
        task,
    ):
        await stage.heard("all ready")
        supervisor.interrupt()
        supervisor.interrupt()
        assert await asyncio.wait_for(task, DEADLINE) == 130


async def test_stopping_before_a_part_was_started_starts_nothing_more(stage: Stage) -> None:
    preparing, go_on = asyncio.Event(), asyncio.Event()
    ordinary: Callable = stage.part("late").prepare

    async def prepare() -> Launch:
        preparing.set()
        await go_on.wait()
        for _ in range(100):  # turns of the loop, in which the interrupt arrives
            await asyncio.sleep(0)
        return await ordinary()

    async with stage.run(stage.part("a"), Part("late", prepare)) as (supervisor, task):
        await asyncio.wait_for(preparing.wait(), DEADLINE)
        supervisor.interrupt()
        go_on.set()
        assert await asyncio.wait_for(task, DEADLINE) == 0

    assert stage.story("started") == ["a started"]


SUPERVISE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_supervisor import Stage

async def main():
    stage = Stage(Path(sys.argv[1]))
    async with stage.run(stage.part("a"), stage.part("b")) as (_, task):
        await stage.heard("all ready")
        print("ready", flush=True)
        await task

asyncio.run(main())
"""


def test_when_the_supervisor_itself_is_killed_its_parts_drain(stage: Stage) -> None:
    paths = os.pathsep.join([*(path for path in sys.path if path), str(PART.parents[1])])
    command = [sys.executable, "-c", SUPERVISE, str(stage.folder), str(Path(__file__).parent)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    ) as supervisor:
        assert supervisor.stdout.readline() == b"ready\n"
        pids = [stage.pid("a"), stage.pid("b")]
        supervisor.kill()
        for pid in pids:
            wait_gone(pid)

    assert sorted(stage.story("ended")) == ["a ended", "b ended"]
