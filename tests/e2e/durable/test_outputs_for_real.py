"""What runs leave, on a whole Headway: shown while they run, answered once, told once although the flow's process is killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.eventually import eventually
from support.stack import Stack
from support.strikes import kill


def saved(headway: Stack, run: str) -> dict[str, dict[str, Any]]:
    return {one["key"]: one for one in headway.api("GET", f"/artifacts?run={run}")["items"]}


def answers(headway: Stack, run: str) -> list[dict[str, Any]]:
    events = headway.api("GET", f"/events?stream=run/{run}")["items"]
    return [event for event in events if event["type"] == "RunAnswered"]


def test_a_killed_flow_leaves_everything_once_and_its_event_answers_once(
    headway: Stack, tmp_path: Path
):
    gate = tmp_path / "gate"
    listener = headway.start_run("listens", key=str(tmp_path))
    eventually(
        lambda: headway.api("GET", f"/runs/{listener}")["state"] == "paused",
        what="the listener waits",
    )
    run = headway.start_run("leaves", key=str(tmp_path), gate=str(gate))
    eventually(lambda: len(answers(headway, listener)) == 1, seconds=60, what="it is answered")
    eventually(
        lambda: saved(headway, run).get("bar", {}).get("percent") == 49.95,
        seconds=30,
        what="the last of many values is shown while the flow goes on",
    )
    eventually(
        lambda: headway.api("GET", f"/runs/{listener}")["state"] == "paused",
        seconds=60,
        what="the listener has come to its second wait",
    )
    before = saved(headway, run)

    victim = headway.flow_process(run, 1)
    assert victim is not None
    kill([victim])
    gate.touch()
    assert headway.ended(run)["state"] == "completed"
    listened = headway.ended(listener)
    assert json.loads(listened["result"]["preview"]) == [{"parts": 2}, "again"]

    eventually(lambda: saved(headway, run)["bar"]["percent"] == 80, what="the views have followed")
    after = saved(headway, run)
    assert {key: one["version"] for key, one in after.items()} == {
        key: one["version"] for key, one in before.items()
    }
    series = {one["name"]: one for one in headway.api("GET", f"/runs/{run}/metrics")["items"]}
    assert (series["loss"]["recorded"], series["rows"]["recorded"]) == (1000, 4000)
    loss = headway.api("GET", f"/runs/{run}/metrics/loss?points=100")["points"]
    assert len(loss) <= 100
    assert loss[0][0] == 1

    shown = headway.headway("artifacts", "show", "by-region")
    assert shown.returncode == 0, shown.stderr
    assert "region" in shown.stdout
    assert "report" in headway.headway("artifacts", "ls").stdout
    assert "loss" in headway.headway("runs", "metrics", run).stdout
    assert headway.headway("artifacts", "history", "report").returncode == 0
    assert "999" in headway.headway("runs", "metrics", run, "loss").stdout
    missing = headway.headway("artifacts", "show", "report", "--version", "999")
    assert missing.returncode != 0
