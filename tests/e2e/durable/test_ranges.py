"""A mapped flow whose quick calls are reported as ranges: counts, verbs from calls inside a range, and a supervisor that is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.eventually import eventually
from support.stack import Stack

ITEMS = 400


class Trial:
    """One run of the mapped flow, and what it and the runs made from it execute."""

    def __init__(self, headway: Stack, folder: Path, broken: str) -> None:
        self.headway = headway
        self.log, self.broken = folder / "log", folder / "broken"
        self.broken.write_text(broken)
        self.log.touch()
        self.run = headway.start_run(
            "mapped", log=str(self.log), broken=str(self.broken), items=ITEMS
        )
        self.ended = headway.ended(self.run)
        self.broken.write_text("")

    def get(self, path: str) -> Any:
        return self.headway.api("GET", f"/runs/{self.run}{path}")

    def counts(self, total: int) -> dict[str, int]:
        def whole() -> dict[str, int] | None:
            found = self.get("")["tasks"]
            return found if found["total"] == total else None

        return eventually(whole, what=f"{total} calls are counted")

    def items(self, **query: object) -> list[dict[str, Any]]:
        words = "&".join(f"{name}={value}" for name, value in query.items())
        return self.get(f"/tasks?limit=200&{words}")["items"]

    def ranges(self) -> list[dict[str, Any]]:
        return [each for each in self.items(name="item") if each["calls"] > 1]

    def inside(self, of: dict[str, Any]) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        place = 0
        while place is not None:
            page = self.get(f"/tasks/{of['call']}/calls?limit=37&after={place}")
            calls += page["items"]
            place = page["next"]
        return calls

    def plan(self, verb: str, call: str) -> dict[str, set[str]]:
        found = self.get(f"/plan?verb={verb}&call={call}&limit=1000")
        return {part: {each["call"] for each in found[part]["calls"]} for part in found}

    def fork(self, verb: str, call: str) -> tuple[dict[str, Any], set[str], list[str]]:
        """The run that is made, the calls that it executed, and what they wrote."""
        self.log.write_text("")
        body = {"verb": verb, "call": call, "parameters": {}}
        made = self.headway.api("POST", f"/runs/{self.run}/fork", body)
        ended = self.headway.ended(made["id"])
        executed = set()
        for frame in self.headway.frames(made["id"], 1):
            if frame.get("outcome") != "completed":
                continue
            if frame["type"] == "calls.ended":
                keys = frame["calls"]
                executed |= {keys[at : at + 32] for at in range(0, len(keys), 32)}
            elif frame["type"] == "call.ended":
                executed.add(frame["call"])
        return ended, executed, self.log.read_text().split()


@pytest.mark.parametrize("broken", ["", "item250", "summed"])
def test_executed_equals_previewed_inside_ranges_too(headway: Stack, tmp_path: Path, broken: str):
    trial = Trial(headway, tmp_path, broken)
    assert trial.ended["state"] == ("failed" if broken else "completed")
    total = trial.counts(ITEMS + 1 + (broken != "item250"))["total"]
    found = trial.ranges()
    assert found, "nothing was folded"
    middle = trial.inside(found[-1])[found[-1]["calls"] // 2]["call"]
    for verb, call in (("resume", ""), ("retry", middle), ("rerun", middle)):
        plan = trial.plan(verb, call)
        assert len(plan["executes"] | plan["may"] | plan["keeps"]) == total
        ended, executed, wrote = trial.fork(verb, call)
        told = f"{verb} after a failure of {broken or 'nothing'}"
        assert (ended["state"], ended["result"]["preview"]) == (
            "completed",
            str(sum(range(ITEMS))),
        ), told
        assert len(wrote) == len(set(wrote)), told
        known = executed & (plan["executes"] | plan["may"] | plan["keeps"])
        assert plan["executes"] <= known <= plan["executes"] | plan["may"], told
        if verb == "retry":
            assert call in executed
            assert len([line for line in wrote if line.startswith("item")]) == 1 + (
                broken == "item250"
            )


def test_a_map_is_counted_to_the_last_call_and_its_calls_can_be_listed(
    headway: Stack, tmp_path: Path
):
    trial = Trial(headway, tmp_path, "")
    counts = trial.counts(ITEMS + 2)
    assert counts["completed"] == ITEMS + 2
    items = trial.items(name="item")
    assert sum(each["calls"] for each in items) == ITEMS
    assert len(items) < ITEMS
    calls = [call["call"] for each in trial.ranges() for call in trial.inside(each)]
    calls += [each["call"] for each in items if each["calls"] == 1]
    assert len(set(calls)) == ITEMS
    first = trial.ranges()[0]
    assert first["started_at"] <= min(call["started_at"] for call in trial.inside(first))
    assert first["ended_at"] >= max(call["ended_at"] for call in trial.inside(first))
    [named] = trial.items(name="called")
    assert named["run_name"] == "item 7 by name"
    listed = headway.headway("runs", "tasks", trial.run)
    assert f"item x {first['calls']:,}" in listed.stdout, listed
    assert "item 7 by name" in listed.stdout
    inside = headway.headway("runs", "tasks", trial.run, "--calls", first["call"][:8])
    assert calls[0] in inside.stdout, inside
    missing = headway.headway("runs", "tasks", trial.run, "--calls", "zz")
    assert missing.returncode == 2
    assert "without --calls" in missing.stderr


def test_a_supervisor_killed_while_it_folds_loses_and_repeats_little(
    headway: Stack, tmp_path: Path
):
    log, broken = tmp_path / "log", tmp_path / "broken"
    broken.write_text("")
    log.touch()
    run = headway.start_run("mapped", log=str(log), broken=str(broken), items=20_000)
    supervisor = eventually(lambda: headway.supervisor(run, 1), what="a supervisor")
    eventually(
        lambda: any(f["type"] == "calls.ended" for f in headway.frames(run, 1)), what="a range"
    )
    os.kill(supervisor.pid, signal.SIGKILL)
    ended = headway.ended(run)
    assert (ended["state"], ended["result"]["preview"]) == ("completed", str(sum(range(20_000))))
    kept = [
        frame["outcome"] for frame in headway.frames(run, ended["attempt"])
        if frame["type"] in ("call.ended", "calls.ended")
    ]  # fmt: skip
    assert "skipped" in kept, "the journal of ranges was not read"
    counted = eventually(
        lambda: (
            found
            if (found := headway.api("GET", f"/runs/{run}")["tasks"])["total"] == 20_002
            else None
        ),
        what="all calls are counted",
    )
    assert counted["completed"] + counted["skipped"] == 20_002
