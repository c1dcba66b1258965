"""Resume, retry and rerun of runs that have asked for others: which child a call takes, and when it asks for a new one, is what was previewed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.eventually import eventually
from support.stack import Stack

CHILD = "graded"
UNDER_WAY = {"scheduled", "pending", "running"}


class Family:
    """A run that fails at a place, with its child; and the runs that are made from it."""

    def __init__(self, headway: Stack, folder: Path, trouble: str, **given: Any) -> None:
        self.headway = headway
        self.log, self.trouble, self.go = folder / "log", folder / "trouble", folder / "go"
        self.trouble.write_text(trouble)
        self.log.touch()
        self.given = {"log": str(self.log), "trouble": str(self.trouble), **given}
        self.run = headway.start_run("orders", **self.given)

    def fails(self) -> None:
        ended = self.headway.ended(self.run)
        assert ended["state"] == "failed", ended
        self.trouble.write_text("")

    def children(self, run: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.headway.api("GET", f"/runs?parent={run or self.run}")[
            "items"
        ]
        return found

    def child(self, *states: str) -> dict[str, Any]:
        def once() -> dict[str, Any] | None:
            found = self.children()
            return found[0] if found and found[0]["state"] in states else None

        return eventually(once, seconds=60, what=f"its child is {states}")

    def plan(self, verb: str, call: str = "", run: str = "") -> dict[str, dict[str, Any]]:
        found = self.headway.api("GET", f"/runs/{run or self.run}/plan?verb={verb}&call={call}")
        parts = ("executes", "attaches", "may", "keeps")
        return {part: {each["name"]: each for each in found[part]["calls"]} for part in parts}

    def call(self, name: str) -> str:
        found = self.plan("resume")
        return next(str(found[part][name]["call"]) for part in found if name in found[part])

    def fork(self, verb: str, call: str = "", **parameters: Any) -> str:
        body = {"verb": verb, "call": call, "parameters": parameters}
        return str(self.headway.api("POST", f"/runs/{self.run}/fork", body)["id"])

    def judge(self, verb: str, name: str = "", **parameters: Any) -> dict[str, dict[str, Any]]:
        """What was previewed is what happens: of the steps by what they wrote, of the child by the runs that there are."""
        call = self.call(name) if name else ""
        plan = self.plan(verb, call)
        told = f"{verb} {name} {parameters}: {json.dumps(plan)}"
        self.log.write_text("")
        before = {child["id"] for child in self.children()}
        made = self.fork(verb, call, **parameters)
        self.go.touch()
        ended = self.headway.ended(made)
        assert ended["state"] == "completed", (told, ended)
        steps = self.log.read_text().split()
        assert len(steps) == len(set(steps)), (told, steps)
        if CHILD in plan["attaches"] or CHILD in plan["keeps"] or "inner" in plan["keeps"]:
            assert self.children(made) == [], told
        elif parameters or CHILD in plan["executes"]:
            # One that is not waited for may be made after its parent has ended.
            new = eventually(lambda: self.children(made), seconds=60, what=f"its child: {told}")
            assert len(new) == 1, told
        assert {child["id"] for child in self.children()} == before, told
        for step in {"step"} & plan["keeps"].keys():
            assert "before" not in steps, (told, step)
        return plan


def ends_badly(family: Family) -> None:
    family.fails()


def asked_and_alive(family: Family) -> None:
    """Asked, not waited for: the flow broke, and its child goes on."""
    family.fails()
    family.child(*UNDER_WAY)


def asked_and_completed(family: Family) -> None:
    family.go.touch()
    family.fails()
    family.child("completed")


def cancelled(family: Family) -> None:
    """It was waiting: the cancel takes the child with it."""
    run = family.run
    family.child("running")
    paused = lambda: family.headway.api("GET", f"/runs/{run}")["state"] == "paused"  # noqa: E731
    eventually(paused, seconds=60, what="the parent waits")
    family.headway.api("POST", f"/runs/{run}/cancel")
    assert family.headway.ended(run)["state"] == "cancelled"
    family.child("cancelled")


POINTS = {
    # where: (trouble, how it comes there, whether it waits at all, where the child's call stands in a resume)
    "died before asking": ("asking", ends_badly, False, ""),
    "asked, not waited, alive": ("waiting", asked_and_alive, False, "attaches"),
    "asked, not waited, completed": ("waiting", asked_and_completed, False, "attaches"),
    "waiting, cancelled": ("", cancelled, False, "executes"),
    "completed and told": ("after", asked_and_completed, False, "keeps"),
    "failed": ("child", asked_and_completed, False, "executes"),
    "refused": ("refused", ends_badly, False, "executes"),
    "not waited for, asked": ("waiting", asked_and_alive, True, "keeps"),
    "not waited for, went on": ("after", asked_and_alive, True, "keeps"),
}


def family_at(headway: Stack, folder: Path, point: str) -> Family:
    trouble, comes_there, unwaited, _ = POINTS[point]
    folder.mkdir()
    go = str(folder / "go")
    family = Family(headway, folder, trouble, go=go, unwaited=unwaited)
    if point == "failed":
        family.go.touch()
        ends_badly(family)
        family.child("failed")
    else:
        comes_there(family)
    return family


@pytest.mark.parametrize("point", POINTS)
def test_executed_equals_previewed_for_children(headway: Stack, tmp_path: Path, point: str):
    expected = POINTS[point][3]
    asked = "nobody" if point == "refused" else CHILD
    family = family_at(headway, tmp_path / "resume", point)
    plan = family.judge("resume")
    assert [part for part in plan if asked in plan[part]] == ([expected] if expected else [])
    family.judge("resume", version=2)
    family.judge("rerun", "inner")
    if point == "died before asking":
        return
    family = family_at(headway, tmp_path / "retry", point)
    if point == "refused":
        # Its name is another call's now; what was asked for then is asked for again.
        assert asked in family.plan("retry", family.call(asked))["executes"]
        return
    plan = family.judge("retry", asked)
    assert asked in plan["executes"]
    plan = family.judge("rerun", asked)
    assert asked in plan["executes"]
