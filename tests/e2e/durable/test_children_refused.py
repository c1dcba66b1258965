"""A run that is asked for and refused: its call fails and says why; where nobody waits, the pages say so; a retry asks again."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.eventually import eventually
from support.stack import Stack


def tasks(headway: Stack, run: str) -> list[dict[str, Any]]:
    """Of a run that has ended; the view may come later."""

    def once() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = headway.api("GET", f"/runs/{run}/tasks")["items"]
        return [call for call in found if call["ended_at"]]

    return eventually(once, seconds=60, what="the calls are shown")


def page(headway: Stack, run: str) -> str:
    with httpx.Client(base_url=headway.api.url, timeout=30) as browser:
        browser.get("/login", params={"token": headway.api.token})
        return html.unescape(browser.get(f"/runs/{run}").text)


REFUSALS = {
    "not_found": {"name": "nobody's"},
    "invalid_parameters": {"name": "part", "parameters": {"n": "many", "log": "x"}},
}


@pytest.mark.parametrize("code", REFUSALS)
def test_the_call_fails_and_says_why(headway: Stack, code: str):
    run = headway.start_run("starts", **REFUSALS[code])
    ended = headway.ended(run)
    assert json.loads(ended["result"]["preview"])["refused"] == code
    [call] = tasks(headway, run)
    assert (call["status"], call["error_class"]) == ("failed", "headway.RunRefused")
    shown = headway.headway("runs", "tasks", run).stdout
    assert "headway.RunRefused" in shown


@pytest.mark.parametrize("code", REFUSALS)
def test_nobody_waits_and_the_pages_say_why(headway: Stack, code: str):
    run = headway.start_run("starts", timeout=0, **REFUSALS[code])
    assert headway.ended(run)["state"] == "completed"

    def refused() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = headway.api("GET", f"/runs/{run}")["refused_runs"]
        return found

    [why] = eventually(refused, seconds=60, what="it is refused")
    assert (why["code"], why["deployment"]) == (code, REFUSALS[code]["name"])
    wrong = ["parameters.n"] if code == "invalid_parameters" else []
    assert (why["message"] != "", why["problems"]) == (True, wrong)
    [call] = tasks(headway, run)
    assert why["message"] in call["refused"]
    assert why["message"] in page(headway, run)
    for verb in ("tasks", "show"):
        said = " ".join(headway.headway("runs", verb, run).stdout.split())
        assert why["message"].split(".")[0] in said, said


def test_a_retry_asks_again(headway: Stack, tmp_path: Path):
    given = {"log": str(tmp_path / "log"), "n": 3}
    run = headway.start_run("starts", name="later", parameters=given)
    assert json.loads(headway.ended(run)["result"]["preview"])["refused"] == "not_found"
    [call] = tasks(headway, run)
    headway.deploy("children:part", "later")
    for verb, step in (("resume", ""), ("retry", call["call"])):
        planned = headway.api("GET", f"/runs/{run}/plan?verb={verb}&call={step}")["executes"]
        assert [(each["name"], each["run_state"]) for each in planned["calls"]] == [
            ("later", "refused")
        ]
        made = headway.api("POST", f"/runs/{run}/fork", {"verb": verb, "call": step})
        told = json.loads(headway.ended(made["id"])["result"]["preview"])
        assert told["state"] == "completed"
