"""What runs on another agent returned, read through the store of results that both agents have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.eventually import eventually
from support.hand_agent import hand_agent, make_pool
from support.stack import Stack, stack


@contextmanager
def two_pools(home: Path, *, has_store: bool) -> Iterator[Stack]:
    """`many` runs where `headway up` executes, the runs that it starts on an agent of another directory."""
    store = {"HEADWAY_AGENT_RESULTS": (home / "results").as_uri()} if has_store else {}
    with stack(home, **store) as running:
        make_pool(running, "beside")
        running.deploy("children:many", "many")
        running.deploy("children:part", "part", "--pool", "beside")
        with hand_agent(running, "beside", home / "beside"):
            yield running


def test_a_parent_reads_what_its_children_returned_on_another_machine(tmp_path: Path):
    with two_pools(tmp_path / "h", has_store=True) as headway:
        run = headway.start_run("many", log=str(tmp_path / "log"), count=3)
        ended = headway.ended(run)
        assert ended["state"] == "completed", ended
        assert json.loads(ended["result"]["preview"]) == [0, 1, 2]
        assert headway.violations() == []


def wanting(headway: Stack, run: str) -> int:
    """Which attempt of the run wants a result that is not there yet."""

    def once() -> int | None:
        for fence, folder in headway.run_directories(run).items():
            if (folder / "wanted").exists() and headway.flow_process(run, fence):
                return fence
        return None

    return eventually(once, seconds=60, what="a result is wanted")


@pytest.mark.parametrize("killed", ["agent", "flow"])
def test_it_reads_them_whatever_is_killed(tmp_path: Path, killed: str):
    with two_pools(tmp_path / "h", has_store=True) as headway:
        hidden = tmp_path / "h" / "elsewhere"
        places = tmp_path / "h" / "results" / "runs"
        places.parent.mkdir(parents=True, exist_ok=True)
        places.write_text("no folder: nothing can be told of runs")
        run = headway.start_run("many", log=str(tmp_path / "log"), count=2)
        fence = wanting(headway, run)
        if killed == "agent":
            headway.part("agent").kill()
        else:
            process = headway.flow_process(run, fence)
            assert process is not None
            process.kill()
        places.rename(hidden)
        ended = headway.ended(run)
        assert ended["state"] == "completed", ended
        assert json.loads(ended["result"]["preview"]) == [0, 1]
