"""A run whose agent is gone after it asked for its children goes on with another: there the calls have other keys, and stand for the same children."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from headway.runtime.frames_log import read
from support.eventually import eventually
from support.hand_agent import HandAgent, make_pool
from support.stack import Stack


@pytest.fixture(scope="module")
def two(headway: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[HandAgent]]:
    make_pool(headway, "moving")
    headway.deploy("children:moves", "moves", "--pool", "moving")
    agents = [
        HandAgent(headway, "moving", tmp_path_factory.mktemp(name)) for name in ("left", "right")
    ]
    yield agents
    for agent in agents:
        agent.stop()


def kill(agent: HandAgent, run: str) -> None:
    """The machine is gone: agent, supervisor and flow."""
    frames = [frame for _, frame in read(agent.run_directories(run)[1] / "frames.log")]
    pids = [frame["pid"] for frame in frames if "pid" in frame]
    assert agent.process is not None
    agent.process.kill()
    agent.process.wait(30)
    assert len(pids) == 2
    for pid in pids:
        with suppress(psutil.NoSuchProcess):  # the flow ends with its supervisor
            psutil.Process(pid).kill()


class Moved:
    """A run that has asked, on the first agent, and goes on with the second one."""

    def __init__(
        self,
        headway: Stack,
        two: list[HandAgent],
        folder: Path,
        *,
        ends: bool = False,
        **given: Any,
    ) -> None:
        self.headway, self.log = headway, folder / "log"
        first, second = two
        if first.process is None or first.process.poll() is not None:
            first.start()
        second.stop()
        (folder / "trouble").touch()
        self.go, hold = folder / "go", folder / "hold"
        paths = {"log": self.log, "trouble": folder / "trouble", "go": self.go, "hold": hold}
        texts = {name: str(path) for name, path in paths.items()}
        self.run = headway.start_run("moves", **texts, **given)
        eventually(lambda: "asked" in self.steps(), seconds=60, what="it has asked")
        eventually(self.children, seconds=60, what="its children are made")
        if ends:
            self.go.touch()
            done = lambda: {c["state"] for c in self.children()} == {"completed"}  # noqa: E731
            eventually(done, seconds=60, what="its children end")
        second.start()
        kill(first, self.run)
        hold.touch()

    def steps(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def children(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.headway.api.patiently("GET", f"/runs?parent={self.run}")[
            "items"
        ]
        return found

    def told(self) -> list[list[str]]:
        ended = self.headway.ended(self.run, 120)
        assert ended["state"] == "completed", ended
        assert ended["attempt"] > 1
        told: list[list[str]] = json.loads(ended["result"]["preview"])
        return told


def test_a_child_that_is_not_waited_for_has_its_true_id(headway: Stack, two, tmp_path: Path):
    moved = Moved(headway, two, tmp_path, timeout=0)
    told = moved.told()
    [child] = moved.children()
    assert told == [[child["id"], "unfinished"]]
    moved.go.touch()
    assert headway.ended(child["id"])["state"] == "completed"


def test_a_child_whose_time_is_up_has_its_true_id(headway: Stack, two, tmp_path: Path):
    moved = Moved(headway, two, tmp_path, timeout=2)
    told = moved.told()
    [child] = moved.children()
    assert told == [[child["id"], "unfinished"]]
    moved.go.touch()
    assert headway.ended(child["id"])["state"] == "completed"


@pytest.mark.parametrize("ends", [False, True])
def test_children_that_are_alike_are_told_apart_and_waited_for(
    headway: Stack, two, tmp_path: Path, *, ends: bool
):
    moved = Moved(headway, two, tmp_path, times=3, ends=ends)
    moved.go.touch()
    told = moved.told()
    made = moved.children()
    assert sorted(told) == sorted([child["id"], "completed"] for child in made)
    assert len(made) == 3


def test_nothing_was_broken(headway: Stack):
    assert headway.violations() == []
