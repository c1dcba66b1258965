"""The cache on a whole Headway: runs at one moment, a holder that is killed, age, refreshing, and a second agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.eventually import eventually
from support.hand_agent import hand_agent, make_pool
from support.stack import Stack
from support.strikes import kill


class Shared:
    """Runs of one key; which of them have executed the body."""

    def __init__(self, headway: Stack, folder: Path) -> None:
        self.headway = headway
        self.log, self.gate = folder / "log", folder / "gate"
        self.log.touch()

    def start(self, deployment: str = "shares", **parameters: object) -> str:
        return self.headway.start_run(
            deployment, log=str(self.log), gate=str(self.gate), **parameters
        )

    def made_by(self) -> list[str]:
        return [line.split()[1] for line in self.log.read_text().splitlines()]

    def result(self, run: str) -> str:
        ended = self.headway.ended(run)
        assert ended["state"] == "completed", ended
        return str(json.loads(ended["result"]["preview"]))

    def until_waiting(self, run: str) -> None:
        """For what another run is making."""

        def told() -> bool:
            output = self.headway.run_directory(run, 1) / "output.log"
            return output.exists() and "waits for its result" in output.read_text()

        eventually(told, what=f"run {run} waits for another one")


@pytest.fixture
def shared(headway: Stack, tmp_path: Path) -> Shared:
    return Shared(headway, tmp_path)


def test_of_two_runs_at_one_moment_one_computes(shared: Shared):
    first = shared.start()
    eventually(shared.made_by)
    second = shared.start()
    shared.until_waiting(second)
    shared.gate.touch()
    assert shared.result(first) == shared.result(second) == first
    assert shared.made_by() == [first]
    [end] = [f for f in shared.headway.frames(second, 1) if f["type"] == "call.ended"]
    assert (end["outcome"], end["cause"]) == ("skipped", "cached")


def test_whoever_waits_computes_when_the_holder_is_killed(shared: Shared):
    first = shared.start()
    eventually(shared.made_by)
    second = shared.start()
    shared.until_waiting(second)
    victim = shared.headway.flow_process(first, 1)
    assert victim is not None
    assert kill([victim])
    eventually(lambda: len(shared.made_by()) == 2)
    shared.gate.touch()
    results = {shared.result(first), shared.result(second)}
    assert results == {shared.made_by()[1]}
    assert len(shared.made_by()) == 2


def test_age_and_refreshing(shared: Shared):
    shared.gate.touch()
    first = shared.start()
    assert shared.result(first) == first
    assert shared.result(shared.start(expires=3600)) == first
    late = shared.start(expires=0.000001)
    assert shared.result(late) == late
    anew = shared.start(refresh=True)
    assert shared.result(anew) == anew
    assert shared.result(shared.start()) == anew
    assert shared.made_by() == [first, late, anew]


def test_each_agent_has_a_cache_of_its_own(shared: Shared, tmp_path: Path):
    shared.gate.touch()
    make_pool(shared.headway, "beside")
    shared.headway.deploy("sharing:shares", "shares-beside", "--pool", "beside")
    first = shared.start()
    assert shared.result(first) == first
    with hand_agent(shared.headway, "beside", tmp_path / "beside"):
        beside = shared.start("shares-beside")
        assert shared.result(beside) == beside
        assert shared.result(shared.start("shares-beside")) == beside
    assert shared.result(shared.start()) == first
