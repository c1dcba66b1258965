"""The cache that agents share, on a whole Headway: two agents in two directories with one store."""

from __future__ import annotations

import json
from pathlib import Path

from support.eventually import eventually
from support.hand_agent import hand_agent, make_pool
from support.stack import Stack, stack


def result(headway: Stack, run: str) -> str:
    ended = headway.ended(run)
    assert ended["state"] == "completed", ended
    return str(json.loads(ended["result"]["preview"]))


def test_agents_share_what_they_made(tmp_path: Path):
    log, gate, store = tmp_path / "log", tmp_path / "gate", tmp_path / "results"
    log.touch()
    gate.touch()
    with stack(tmp_path / "h", HEADWAY_AGENT_RESULTS=store.as_uri()) as headway:
        make_pool(headway, "beside")
        headway.deploy("sharing:shares", "shares", "--project", "sharing")
        headway.deploy("sharing:shares", "shares-beside", "--pool", "beside")
        with hand_agent(headway, "beside", tmp_path / "beside"):
            first = headway.start_run("shares", log=str(log), gate=str(gate))
            assert result(headway, first) == first
            eventually(lambda: [p for p in (store / "cache").rglob("*") if p.is_file()])
            second = headway.start_run("shares-beside", log=str(log), gate=str(gate))
            assert result(headway, second) == first
            anew = headway.start_run("shares-beside", log=str(log), gate=str(gate), refresh=True)
            assert result(headway, anew) == anew
        assert [line.split()[1] for line in log.read_text().splitlines()] == [first, anew]
        assert headway.violations() == []
