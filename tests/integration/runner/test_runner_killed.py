"""The agent process itself is killed at many moments; the next one must find each attempt begun at most once and ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.attempts import SDK, TESTS
from support.runner_process import grants
from support.runners import agent

pytestmark = pytest.mark.process
COUNT = 12


@pytest.mark.parametrize("after", [0, 1, 4, 8, COUNT])
async def test_a_killed_agent_starts_nothing_twice_and_loses_nothing(
    tmp_path: Path, after: int
) -> None:
    state, marks = tmp_path / "s", tmp_path / "marks"
    marks.mkdir()
    kill_after(state, marks, after)
    async with agent(state) as two:
        wanted = grants(marks, COUNT)
        known = {held.key for held in two.runner.held()}
        assert len(known) >= after
        for grant in wanted:
            await two.runner.start(grant)
        await two.until(lambda: all(held.state == "exited" for held in two.runner.held()))
        for grant in wanted:
            facts = await two.facts(grant.key)
            types = [fact["type"] for fact in facts]
            assert types.count("attempt.exited") == 1
            assert types[-1] == "attempt.exited"
            assert types.count("attempt.starting") <= 1
            mark = marks / grant.key.run.removeprefix("run-")
            begun = mark.read_text().splitlines() if mark.exists() else []
            assert len(begun) <= 1
            if facts[-1]["outcome"] == "completed":
                assert len(begun) == 1


def kill_after(state: Path, marks: Path, started: int) -> None:
    """Kills the agent once it has said that so many were started; the others are at any step."""
    path = os.pathsep.join(map(str, (SDK, TESTS)))
    command = [sys.executable, "-m", "support.runner_process", str(state), str(marks), str(COUNT)]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        if not started:
            wait_for_lock(state)
        for _ in range(started):
            assert process.stdout.readline()
        process.kill()


def wait_for_lock(state: Path) -> None:
    """The agent is up and about to start: nothing more is known."""
    database = state / "agent.db-wal"
    while not database.exists():
        os.sched_yield()
