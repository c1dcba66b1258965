"""Runs that wait, on a whole Headway: no process, no slot, and nothing is executed twice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.eventually import eventually
from support.stack import Stack


def steps(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def paused(headway: Stack, run: str) -> dict[str, Any]:
    def once() -> dict[str, Any] | None:
        found = headway.api.patiently("GET", f"/runs/{run}")
        assert found["state"] not in {"failed", "crashed", "completed"}, found
        return found if found["state"] == "paused" else None

    return eventually(once, seconds=60, what=f"run {run} is suspended")


def test_a_person_is_asked_and_answers(headway: Stack, tmp_path: Path):
    log = tmp_path / "log"
    run = headway.start_run("asks", log=str(log))
    found = paused(headway, run)
    assert (found["reason"], found["reason_text"]) == ("input", "waits for an answer: approve")
    [wait] = found["waits"]
    assert wait["title"] == "Publish the figures?"
    assert wait["schema"]["required"] == ["approve"]
    assert headway.flow_process(run, 1) is None
    agents = headway.api("GET", "/agents")["items"]
    [agent] = [each for each in agents if each["pool"]["name"] == "local"]
    assert found["home"]["id"] == agent["id"]

    status, refused = headway.api.answer("POST", f"/runs/{run}/input", {"value": {"approve": 3}})
    assert (status, refused["errors"][0]["path"]) == (422, "value.approve")
    headway.api("POST", f"/runs/{run}/input", {"value": {"approve": True, "comment": "good"}})
    status, _ = headway.api.answer("POST", f"/runs/{run}/input", {"value": {"approve": False}})
    assert status == 409

    ended = headway.ended(run)
    assert (ended["state"], json.loads(ended["result"]["preview"])) == ("completed", "good")
    assert steps(log) == ["figures", "publish"]
    events = headway.api("GET", f"/events?stream=run/{run}")["items"]
    [answered] = [event for event in events if event["type"] == "RunAnswered"]
    assert answered["actor"] not in {"", "system"}


def test_the_command_line_asks_and_answers(headway: Stack, tmp_path: Path):
    run = headway.start_run("asks", log=str(tmp_path / "log"))
    paused(headway, run)
    asked = headway.headway("runs", "input", run)
    assert "Publish the figures?" in asked.stdout
    assert "-p approve=..." in asked.stdout
    done = headway.headway("runs", "input", run, "-p", "approve=false")
    assert done.returncode == 0, done.stderr
    assert headway.ended(run)["state"] == "completed"
    assert steps(tmp_path / "log") == ["figures", "drop"]


def hidden(page: str, name: str) -> str:
    [value] = set(re.findall(rf'name="{name}" value="([^"]*)"', page))
    return value


def test_the_page_asks_and_answers(headway: Stack, tmp_path: Path):
    run = headway.start_run("asks", log=str(tmp_path / "log"))
    paused(headway, run)
    with httpx.Client(base_url=headway.api.url, timeout=30) as browser:
        browser.get("/login", params={"token": headway.api.token})
        page = browser.get(f"/runs/{run}").text
        assert "Publish the figures?" in page
        form = {"form_token": hidden(page, "form_token"), "call": hidden(page, "call")}
        wrong = browser.post(f"/runs/{run}/input", data={**form, "p.comment": "\0"})
        assert (wrong.status_code, "Not accepted" in wrong.text) == (422, True)
        posted = {**form, "p.approve": "true", "p.comment": "on the page"}
        answered = browser.post(f"/runs/{run}/input", data=posted)
        assert answered.status_code == 303, answered.text
    assert json.loads(headway.ended(run)["result"]["preview"]) == "on the page"


def test_an_answer_that_no_schema_tells_wrong_is_asked_for_again(headway: Stack, tmp_path: Path):
    run = headway.start_run("asks_for_a_day", log=str(tmp_path / "log"))
    first = paused(headway, run)["waits"][0]["call"]
    assert "VALUE  string (date), as JSON" in headway.headway("runs", "input", run).stdout
    headway.api("POST", f"/runs/{run}/input", {"value": "2026-02-30"})

    def again() -> dict[str, Any] | None:
        waits = paused(headway, run)["waits"]
        return waits[0] if waits and waits[0]["call"] != first else None

    asked = eventually(again, seconds=60, what="it is asked again")
    assert (asked["title"], len(asked["problems"])) == ("Which day?", 1)
    shown = headway.headway("runs", "input", run).stdout
    assert f"not accepted: {asked['problems'][0]}" in shown
    with httpx.Client(base_url=headway.api.url, timeout=30) as browser:
        browser.get("/login", params={"token": headway.api.token})
        assert "Not accepted" in browser.get(f"/runs/{run}").text
    assert headway.headway("runs", "input", run, '"2026-02-28"').returncode == 0
    assert json.loads(headway.ended(run)["result"]["preview"]) == "2026-02-28"
    assert steps(tmp_path / "log") == ["before"]


def test_a_sleep_ends_by_itself(headway: Stack, tmp_path: Path):
    run = headway.start_run("sleeps", log=str(tmp_path / "log"), seconds=2)
    assert headway.ended(run)["attempt"] == 2
    assert steps(tmp_path / "log") == ["before", "after"]


def test_a_sleeping_run_is_cancelled_at_once(headway: Stack, tmp_path: Path):
    run = headway.start_run("sleeps", log=str(tmp_path / "log"), seconds=3600)
    assert paused(headway, run)["reason"] == "sleeping"
    headway.api("POST", f"/runs/{run}/cancel")
    assert headway.ended(run)["state"] == "cancelled"


@pytest.mark.parametrize("part", ["agent", "server"])
def test_a_suspended_run_outlives_whatever_is_killed(headway: Stack, tmp_path: Path, part: str):
    run = headway.start_run("asks", log=str(tmp_path / "log"))
    paused(headway, run)
    headway.part(part).kill()
    headway.api.patiently("POST", f"/runs/{run}/input", {"value": {"approve": True}})
    assert headway.ended(run)["state"] == "completed"
    assert steps(tmp_path / "log") == ["figures", "publish"]


def test_events_reach_who_waits_for_them_and_nobody_else(headway: Stack):
    assert headway.api("POST", "/events", {"name": "file arrived", "key": "1"}) == {"runs": []}
    one, other = headway.start_run("listens", key="1"), headway.start_run("listens", key="2")
    assert paused(headway, one)["reason_text"] == "waits for an event: file arrived"
    paused(headway, other)
    sent = headway.api("POST", "/events", {"name": "file arrived", "key": "1", "value": "a.csv"})
    assert sent == {"runs": [one]}

    def second() -> dict[str, Any] | None:
        found = headway.api("GET", f"/runs/{one}")
        return found if (found["state"], found["attempt"]) == ("paused", 2) else None

    eventually(second, seconds=60, what="the run waits for its second event")
    assert headway.headway("events", "emit", "nobody's").returncode == 1
    emitted = headway.headway("events", "emit", "file arrived", "--key", "1", "-p", "path=b.csv")
    assert emitted.stdout.split() == [one]
    assert json.loads(headway.ended(one)["result"]["preview"]) == ["a.csv", {"path": "b.csv"}]
    assert headway.api("GET", f"/runs/{other}")["state"] == "paused"
    headway.api("POST", f"/runs/{other}/cancel")


def test_six_mebibytes_of_answers_reach_a_run(headway: Stack):
    """More than a message holds, answered while the agent is away: it has all of them before the flow begins, and its connection stays."""
    count, value = 24, "x" * (256 * 1024 - 100)
    run = headway.start_run("hears-much", key="much", count=count)
    assert len(paused(headway, run)["waits"]) == count
    headway.part("agent").kill()
    sent = headway.api("POST", "/events", {"name": "file arrived", "key": "much", "value": value})
    assert sent == {"runs": [run]}
    ended = headway.ended(run)
    preview = str(count * len(value) + sum(range(count)))
    assert (ended["state"], ended["result"]["preview"]) == ("completed", preview)


def test_nothing_was_broken(headway: Stack):
    assert headway.violations() == []
