"""Runs that start runs of other deployments, on a whole Headway: exactly one child for each call, whatever is killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.eventually import eventually
from support.stack import Stack


def steps(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def returned(run: dict[str, Any]) -> Any:
    assert run["state"] == "completed", run
    return json.loads(run["result"]["preview"])


def children(headway: Stack, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = headway.api.patiently("GET", f"/runs?parent={run}")["items"]
    return found


def waiting(headway: Stack, run: str) -> dict[str, Any]:
    def once() -> dict[str, Any] | None:
        found = headway.api.patiently("GET", f"/runs/{run}")
        assert found["state"] not in {"failed", "crashed", "completed"}, found
        return found if found["state"] == "paused" else None

    return eventually(once, seconds=60, what=f"run {run} waits")


def held_child(headway: Stack, run: str, log: Path) -> dict[str, Any]:
    def once() -> dict[str, Any] | None:
        made = children(headway, run)
        began = any(line.startswith("part-") for line in steps(log))
        return made[0] if began and made and made[0]["state"] == "running" else None

    return eventually(once, seconds=60, what="the child executes")


def test_a_child_is_waited_for_without_a_process_and_its_result_is_read(
    headway: Stack, tmp_path: Path
):
    log, hold = tmp_path / "log", tmp_path / "go"
    run = headway.start_run("parent", log=str(log), n=3, hold=str(hold))
    child = held_child(headway, run, log)
    found = waiting(headway, run)
    assert (found["reason"], found["reason_text"]) == ("run", "waits for a run of part")
    assert headway.flow_process(run, 1) is None
    [wait] = found["waits"]
    assert (wait["kind"], wait["run"]) == ("run", child["id"])
    assert child["tags"] == ["made"]
    hold.touch()
    assert returned(headway.ended(run)) == 3
    assert steps(log) == ["before", "part-3", "completed"]
    shown = headway.api("GET", f"/runs/{child['id']}")
    assert (shown["parent_run"], shown["parent_call"]) == (run, wait["call"])
    assert [made["id"] for made in children(headway, run)] == [child["id"]]


@pytest.mark.parametrize("part", ["agent", "server"])
def test_one_child_whatever_is_killed(headway: Stack, tmp_path: Path, part: str):
    log, hold = tmp_path / "log", tmp_path / "go"
    run = headway.start_run("parent", log=str(log), hold=str(hold))
    held_child(headway, run, log)
    waiting(headway, run)
    headway.part(part).kill()
    hold.touch()
    assert returned(headway.ended(run)) == 1
    assert steps(log) == ["before", "part-1", "completed"]
    assert len(children(headway, run)) == 1


def test_one_child_though_its_process_is_killed(headway: Stack, tmp_path: Path):
    log, hold = tmp_path / "log", tmp_path / "go"
    run = headway.start_run("parent", log=str(log), hold=str(hold))
    child = held_child(headway, run, log)
    process = headway.flow_process(child["id"], child["attempt"])
    assert process is not None
    process.kill()
    hold.touch()
    assert returned(headway.ended(run)) == 1
    assert [made["id"] for made in children(headway, run)] == [child["id"]]


def test_several_at_once(headway: Stack, tmp_path: Path):
    run = headway.start_run("many", log=str(tmp_path / "log"), count=12)
    assert returned(headway.ended(run)) == list(range(12))
    run = headway.start_run("gathers", log=str(tmp_path / "log"), count=4)
    assert returned(headway.ended(run)) == ["completed"] * 4


def test_a_child_that_ends_before_it_is_waited_for(headway: Stack, tmp_path: Path):
    run = headway.start_run("asks_first", log=str(tmp_path / "log"))
    waiting(headway, run)
    eventually(
        lambda: [c["state"] for c in children(headway, run)] == ["completed"],
        seconds=60,
        what="the child ends",
    )

    def answered() -> bool:
        status, _ = headway.api.answer("POST", f"/runs/{run}/input", {"value": True})
        return status == 200

    eventually(answered, seconds=60, what="the parent takes its answer")
    assert returned(headway.ended(run)) == 7


def test_what_is_refused_is_told_to_the_call(headway: Stack):
    run = headway.start_run("starts", name="nobody's")
    assert returned(headway.ended(run)) == {"refused": "not_found", "problems": []}
    run = headway.start_run("starts", name="part", parameters={"n": "many", "log": "x"})
    told = returned(headway.ended(run))
    assert (told["refused"], told["problems"][0][0]) == ("invalid_parameters", "parameters.n")


def test_a_failed_child_is_told(headway: Stack):
    told = returned(headway.ended(headway.start_run("starts", name="breaks")))
    assert (told["state"], told["error"]) == ("failed", "ValueError")


def test_it_is_not_waited_for(headway: Stack, tmp_path: Path):
    given = {"log": str(tmp_path / "log"), "n": 1}
    run = headway.start_run("starts", name="part", parameters=given, timeout=0)
    told = returned(headway.ended(run))
    assert told["state"] == "unfinished"
    made = eventually(lambda: children(headway, run), seconds=60, what="the child is made")
    assert [child["id"] for child in made] == [told["id"]]
    assert headway.ended(told["id"])["state"] == "completed"


def test_a_cycle_ends(headway: Stack):
    assert returned(headway.ended(headway.start_run("deeper"))) == 19


def test_a_cancel_of_the_parent_ends_the_child(headway: Stack, tmp_path: Path):
    log = tmp_path / "log"
    run = headway.start_run("parent", log=str(log), hold=str(tmp_path / "never"))
    child = held_child(headway, run, log)
    waiting(headway, run)
    headway.api("POST", f"/runs/{run}/cancel")
    assert headway.ended(run)["state"] == "cancelled"
    assert headway.ended(child["id"])["state"] == "cancelled"


def test_nothing_was_broken(headway: Stack):
    assert headway.violations() == []
