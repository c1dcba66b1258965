"""Flows that ask a person and keep their process, on a whole Headway: whoever is killed meanwhile, the answer arrives once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from support.eventually import eventually
from support.stack import Stack


def steps(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def asking(headway: Stack, run: str, attempt: int = 1) -> dict[str, Any]:
    """The run, once its attempt of that number asks."""

    def once() -> dict[str, Any] | None:
        found = headway.api.patiently("GET", f"/runs/{run}")
        assert found["state"] not in {"failed", "crashed", "completed"}, found
        asks = (found["state"], found["reason"], found["attempt"]) == ("running", "input", attempt)
        return found if asks else None

    return eventually(once, seconds=90, what=f"run {run} asks")


def start(headway: Stack, tmp_path: Path, **more: object) -> tuple[str, psutil.Process]:
    run = headway.start_run("pauses", log=str(tmp_path / "log"), **more)
    asking(headway, run)
    process = headway.flow_process(run, 1)
    assert process is not None
    return run, process


def answer(headway: Stack, run: str, comment: str = "good") -> None:
    value = {"approve": True, "comment": comment}
    headway.api.patiently("POST", f"/runs/{run}/input", {"value": value})


def completed(headway: Stack, run: str, attempt: int = 1) -> None:
    ended = headway.ended(run)
    assert (ended["state"], json.loads(ended["result"]["preview"])) == ("completed", "good"), ended
    assert ended["attempt"] == attempt


def test_a_person_is_asked_and_the_process_stays(headway: Stack, tmp_path: Path):
    run, process = start(headway, tmp_path)
    found = headway.api("GET", f"/runs/{run}")
    assert found["reason_text"].startswith("asks a person: approve; its process waits on agent")
    [wait] = found["waits"]
    assert (wait["title"], wait["answered"]) == ("Publish the figures?", False)
    assert "Publish the figures?" in headway.headway("runs", "input", run).stdout
    assert "asks a person: approve" in headway.headway("runs", "show", run).stdout
    status, refused = headway.api.answer("POST", f"/runs/{run}/input", {"value": {"approve": 3}})
    assert (status, refused["errors"][0]["path"]) == (422, "value.approve")
    assert process.is_running()

    answer(headway, run)
    completed(headway, run)
    assert steps(tmp_path / "log") == ["figures", "publish"]
    assert headway.api.answer("POST", f"/runs/{run}/input", {"value": {"approve": True}})[0] == 409


def test_the_page_asks_and_answers_while_it_runs(headway: Stack, tmp_path: Path):
    run, _ = start(headway, tmp_path)
    with httpx.Client(base_url=headway.api.url, timeout=30) as browser:
        browser.get("/login", params={"token": headway.api.token})
        page = browser.get(f"/runs/{run}").text
        assert "Publish the figures?" in page
        assert "its process waits" in page
        assert "asks a person" in browser.get("/runs").text
        hidden = {
            name: set(re.findall(rf'name="{name}" value="([^"]*)"', page))
            for name in ("form_token", "call")
        }
        form = {name: values.pop() for name, values in hidden.items()}
        posted = {**form, "p.approve": "true", "p.comment": "good"}
        assert browser.post(f"/runs/{run}/input", data=posted).status_code == 303
    completed(headway, run)


def test_its_process_dies_and_the_next_attempt_asks_again(headway: Stack, tmp_path: Path):
    run, process = start(headway, tmp_path)
    [before] = headway.api("GET", f"/runs/{run}")["waits"]
    process.kill()
    [wait] = asking(headway, run, 2)["waits"]
    assert wait == before
    answer(headway, run)
    completed(headway, run, 2)
    assert steps(tmp_path / "log") == ["figures", "publish"]


def test_an_answer_that_came_before_the_next_attempt_counts(headway: Stack, tmp_path: Path):
    run, process = start(headway, tmp_path)
    headway.part("agent").suspend()
    try:
        process.kill()
        answer(headway, run)
    finally:
        headway.part("agent").resume()
    ended = headway.ended(run)
    assert (ended["state"], steps(tmp_path / "log")) == ("completed", ["figures", "publish"])


@pytest.mark.parametrize("part", ["agent", "server"])
def test_whoever_is_killed_the_answer_reaches_the_same_process(
    headway: Stack, tmp_path: Path, part: str
):
    run, process = start(headway, tmp_path)
    headway.part(part).kill()
    answer(headway, run)
    completed(headway, run)
    assert not process.is_running()
    assert steps(tmp_path / "log") == ["figures", "publish"]


def test_the_server_dies_between_answer_and_delivery(headway: Stack, tmp_path: Path):
    run, _ = start(headway, tmp_path)
    agent = headway.part("agent")
    agent.suspend()
    try:
        answer(headway, run)
        headway.part("server").kill()
    finally:
        agent.resume()
    completed(headway, run)


def test_a_run_that_asks_is_cancelled(headway: Stack, tmp_path: Path):
    run, process = start(headway, tmp_path)
    headway.api("POST", f"/runs/{run}/cancel")
    assert headway.ended(run)["state"] == "cancelled"
    assert not process.is_running()
    assert headway.api.answer("POST", f"/runs/{run}/input", {"value": {"approve": True}})[0] == 409


def test_nobody_answers_in_time(headway: Stack, tmp_path: Path):
    run = headway.start_run("pauses", log=str(tmp_path / "log"), timeout=0.5)
    ended = headway.ended(run)
    assert (ended["state"], json.loads(ended["result"]["preview"])) == ("completed", "nobody")


def test_nothing_was_broken_by_pauses(headway: Stack):
    assert headway.violations() == []
