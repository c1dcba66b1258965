"""Flows that set variables on a whole Headway: once although their process is killed, for the runs that follow, with the run in the history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.eventually import eventually
from support.stack import Stack
from support.strikes import kill


def history(headway: Stack, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = headway.api("GET", f"/variables/{name}/history")["items"]
    return found


def test_a_killed_flow_has_set_them_once_and_its_child_finds_them(headway: Stack, tmp_path: Path):
    gate = tmp_path / "gate"
    set_by_hand = headway.headway("variables", "set", "kept", "1", "--tag", "protected")
    assert set_by_hand.returncode == 0, set_by_hand.stderr
    run = headway.start_run("writes", gate=str(gate))
    eventually(lambda: len(history(headway, "kept")) == 2, seconds=60, what="both have arrived")
    assert headway.headway("variables", "set", "count", "10").returncode == 0
    victim = headway.flow_process(run, 1)
    assert victim is not None
    kill([victim])
    gate.touch()
    ended = headway.ended(run)
    assert ended["state"] == "completed"
    count, child, itself, started_by = json.loads(ended["result"]["preview"])
    assert (count, child, itself) == (10, [run, 10], run)
    assert started_by.startswith("key/")

    changes = history(headway, "count")
    assert [(one["kind"], one["value"]) for one in changes] == [("set", 10), ("set", 1)]
    assert changes[1]["actor"] == f"run/{run}"
    assert changes[1]["tags"] == ["seen"]
    [refused, by_hand] = history(headway, "kept")
    assert (refused["kind"], refused["actor"], by_hand["kind"]) == ("refused", f"run/{run}", "set")
    told = headway.headway("variables", "history", "kept").stdout
    assert "the tag 'protected'" in told
    assert f"run/{run}" in told
