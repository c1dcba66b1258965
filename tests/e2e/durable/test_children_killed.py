"""kill -9 between a wish and its run, and between a run's end and its parent's answer: one child, and the parent has its outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.eventually import eventually
from support.sql_troubles import locked_table
from support.stack import Stack


def steps(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def children(headway: Stack, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = headway.api.patiently("GET", f"/runs?parent={run}")["items"]
    return found


def wishes(headway: Stack, run: str) -> list[tuple[str, bool]]:
    with psycopg.connect(headway.database_url) as connection:
        rows = connection.execute(
            "SELECT run::text, settled FROM headway.child_run WHERE parent = %s", [run]
        )
        return [(str(child), bool(settled)) for child, settled in rows]


def state(headway: Stack, run: str) -> str:
    return str(headway.api.patiently("GET", f"/runs/{run}")["state"])


def judge(headway: Stack, run: str, n: int) -> dict[str, Any]:
    ended = headway.ended(run)
    assert ended["state"] == "completed", ended
    assert json.loads(ended["result"]["preview"]) == n
    [child] = children(headway, run)
    assert child["state"] == "completed"
    assert wishes(headway, run) == [(child["id"], True)]
    return ended


def kill_server(headway: Stack) -> None:
    server = headway.part("server")
    server.kill()
    server.wait(30)


@pytest.mark.parametrize("child_has_ended", [False, True])
def test_the_flow_dies_between_its_wish_and_its_wait(
    headway: Stack, tmp_path: Path, *, child_has_ended: bool
):
    log, hold = tmp_path / "log", tmp_path / "go"
    run = headway.start_run("asks_and_works", log=str(log), hold=str(hold))
    eventually(lambda: "asked" in steps(log), seconds=60, what="the flow has asked")
    if child_has_ended:
        ends = lambda: [child["state"] for child in children(headway, run)] == ["completed"]  # noqa: E731
        eventually(ends, seconds=60, what="the child ends")
    process = headway.flow_process(run, 1)
    assert process is not None
    process.kill()
    hold.touch()
    assert judge(headway, run, 5)["attempt"] > 1
    assert steps(log).count("part-5") == 1


def test_the_server_dies_between_the_wish_and_its_run(headway: Stack, tmp_path: Path):
    log, hold = tmp_path / "log", tmp_path / "go"
    with locked_table(headway.database_url, "run_tag"):  # a run with tags cannot be made
        run = headway.start_run("asks_and_works", log=str(log), hold=str(hold))
        eventually(lambda: wishes(headway, run), seconds=60, what="the wish is in the log")
        [(_, settled)] = wishes(headway, run)
        assert not settled
        kill_server(headway)
        hold.touch()
        assert children(headway, run) == []
    judge(headway, run, 5)
    assert steps(log).count("part-5") == 1


def test_the_server_dies_while_the_child_ends(headway: Stack, tmp_path: Path):
    """The end and the answer are one flush: neither is there without the other."""
    log, hold = tmp_path / "log", tmp_path / "go"
    run = headway.start_run("parent", log=str(log), n=5, hold=str(hold))
    eventually(lambda: state(headway, run) == "paused", seconds=60, what="the parent waits")
    eventually(lambda: "part-5" in steps(log), seconds=60, what="the child executes")
    [child] = children(headway, run)
    with locked_table(headway.database_url, "run"):
        hold.touch()
        done = lambda: headway.flow_process(child["id"], child["attempt"]) is None  # noqa: E731
        eventually(done, seconds=60, what="the child has returned")
        kill_server(headway)
        assert state(headway, child["id"]) == "running"
        assert state(headway, run) == "paused"
    judge(headway, run, 5)
    assert steps(log).count("part-5") == 1


def test_nothing_was_broken(headway: Stack):
    assert headway.violations() == []
