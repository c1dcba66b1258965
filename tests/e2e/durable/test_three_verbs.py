"""Resume, retry a step, rerun from one: what is executed is what was previewed, at every failure point, for every call."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.eventually import eventually
from support.stack import Stack

ALL = ["a", "b", "s1", "s2", "c", "d"]


class Trial:
    """One run, and the steps that it and the runs made from it execute."""

    def __init__(self, headway: Stack, folder: Path, broken: str) -> None:
        self.headway = headway
        self.log, self.broken = folder / "log", folder / "broken"
        self.broken.write_text(broken)
        self.log.touch()
        self.run = headway.start_run("pipeline", log=str(self.log), broken=str(self.broken))
        self.ended = headway.ended(self.run)
        self.broken.write_text("")

    def plan(self, verb: str, call: str = "", run: str = "") -> dict[str, set[str]]:
        path = f"/runs/{run or self.run}/plan?verb={verb}&call={call}"
        found = self.headway.api("GET", path)
        return {
            part: {each["name"] for each in found[part]["calls"] if each["kind"] == "task"}
            for part in ("executes", "may", "keeps")
        }

    def fork(self, verb: str, call: str = "", run: str = "", **parameters: Any) -> dict[str, Any]:
        self.log.write_text("")
        body = {"verb": verb, "call": call, "parameters": parameters}
        made = self.headway.api("POST", f"/runs/{run or self.run}/fork", body)
        return self.headway.ended(made["id"])

    def executed(self) -> list[str]:
        return self.log.read_text().split()

    def calls(self) -> dict[str, str]:
        found = self.headway.api("GET", f"/runs/{self.run}/plan?verb=resume")
        return {
            each["name"]: each["call"]
            for part in ("executes", "keeps")
            for each in found[part]["calls"]
        }


@pytest.mark.parametrize("broken", ["", "a", "s2", "c", "d"])
def test_executed_equals_previewed(headway: Stack, tmp_path: Path, broken: str):
    trial = Trial(headway, tmp_path, broken)
    assert trial.ended["state"] == ("failed" if broken else "completed")
    calls = trial.calls()
    known = set(calls) & set(ALL)
    wishes = [("resume", ""), *((verb, call) for verb in ("retry", "rerun") for call in calls)]
    for verb, name in wishes:
        plan = trial.plan(verb, calls.get(name, ""))
        assert plan["executes"] | plan["may"] | plan["keeps"] <= known
        ended = trial.fork(verb, calls.get(name, ""))
        told = f"{verb} {name} after a failure of {broken or 'nothing'}: {plan}"
        assert (ended["state"], ended["result"]["preview"]) == ("completed", '"d"'), told
        executed = trial.executed()
        assert len(executed) == len(set(executed)), told
        seen = set(executed) & known
        assert plan["executes"] <= seen <= plan["executes"] | plan["may"], (told, executed)
        assert set(executed) - known == set(ALL) - known, told
        if verb != "retry":
            assert not plan["may"]


def test_what_took_the_result_by_reference_follows_and_what_took_its_value_need_not(
    headway: Stack, tmp_path: Path
):
    trial = Trial(headway, tmp_path, "")
    trial.fork("retry", trial.calls()["b"])
    assert sorted(trial.executed()) == ["b", "c"]  # d was given the same value


def test_changed_parameters_execute_what_they_reach(headway: Stack, tmp_path: Path):
    trial = Trial(headway, tmp_path, "")
    trial.fork("resume", version=2)
    assert trial.executed() == ["d"]


def test_a_fork_of_a_fork_keeps_the_line(headway: Stack, tmp_path: Path):
    trial = Trial(headway, tmp_path, "c")
    trial.broken.write_text("d")
    first = trial.fork("rerun", trial.calls()["s2"])
    assert first["state"] == "failed"
    trial.broken.write_text("")
    assert trial.plan("resume", run=first["id"])["executes"] == {"d"}
    second = trial.fork("resume", run=first["id"])
    assert (second["state"], trial.executed()) == ("completed", ["d"])
    assert second["forked_from"]["run"] == first["id"]
    assert [fork["run"] for fork in headway.api("GET", f"/runs/{first['id']}")["forks"]] == [
        second["id"]
    ]


def test_a_run_that_has_not_ended_is_not_forked(headway: Stack, tmp_path: Path):
    run = headway.start_run("sleeps", log=str(tmp_path / "log"), seconds=3600)
    status, refused = headway.api.answer("POST", f"/runs/{run}/fork", {"verb": "resume"})
    assert (status, refused["code"]) == (409, "invalid_state")
    headway.api("POST", f"/runs/{run}/cancel")


@pytest.mark.parametrize(
    "wish", [{"verb": "retry"}, {"verb": "retry", "call": "ab"}, {"verb": "resume", "call": "ab"}]
)
def test_a_wish_that_makes_no_sense_is_refused(headway: Stack, tmp_path: Path, wish: dict):
    trial = Trial(headway, tmp_path, "")
    status, _ = headway.api.answer("POST", f"/runs/{trial.run}/fork", wish)
    assert status == 422


def test_a_journal_that_is_gone_is_told(headway: Stack, tmp_path: Path):
    trial = Trial(headway, tmp_path, "d")
    for folder in headway.run_directories(trial.run).values():
        (folder / "frames.log").rename(folder / "gone")
    ended = trial.fork("resume")
    assert (ended["state"], ended["reason"]) == ("failed", "refused")
    assert "no longer on this agent" in ended["error"]["message"]
    assert trial.executed() == []


def test_the_command_line_previews_and_starts(headway: Stack, tmp_path: Path):
    trial = Trial(headway, tmp_path, "c")
    preview = headway.headway("runs", "rerun", trial.run, "s2", "--preview")
    assert [line.split()[0] for line in preview.stdout.splitlines() if line.startswith("  ")] == [
        "part", "s2", "c", "a", "b", "s1",
    ]  # fmt: skip
    trial.log.write_text("")
    done = headway.headway("runs", "retry", trial.run, "s1", "--wait")
    assert done.returncode == 0, done.stderr + done.stdout
    assert sorted(trial.executed()) == ["c", "d", "s1"]
    unknown = headway.headway("runs", "retry", trial.run, "nobody")
    assert (unknown.returncode, "runs plan" in unknown.stderr) == (2, True)
    resumed = headway.headway("runs", "resume", trial.run, "--wait", "-o", "json")
    assert '"verb": "resume"' in resumed.stdout


def test_resume_lets_a_suspended_run_go_on(headway: Stack, tmp_path: Path):
    run = headway.start_run("suspends")
    eventually(lambda: headway.api("GET", f"/runs/{run}")["state"] == "paused", what="suspended")
    assert headway.headway("runs", "resume", run).returncode == 0
    assert headway.ended(run)["state"] == "completed"


def test_the_page_previews_and_starts(headway: Stack, tmp_path: Path):
    trial = Trial(headway, tmp_path, "d")
    call = trial.calls()["c"]
    with httpx.Client(base_url=headway.api.url, timeout=30) as browser:
        browser.get("/login", params={"token": headway.api.token})
        assert f"/runs/{trial.run}/plan" in browser.get(f"/runs/{trial.run}").text
        page = browser.get(f"/runs/{trial.run}/plan").text
        assert "1 step will execute" in page
        page = browser.get(f"/runs/{trial.run}/plan", params={"verb": "rerun", "call": call}).text
        assert "2 steps will execute" in page
        form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
        wrong = browser.post(f"/runs/{trial.run}/fork", data={**form, "parameters": "[1"})
        assert (wrong.status_code, "Not accepted" in wrong.text) == (422, True)
        trial.log.write_text("")
        made = browser.post(f"/runs/{trial.run}/fork", data=form)
        assert made.status_code == 303, made.text
        run = made.headers["location"].split("?")[0].rsplit("/", 1)[1]
        assert headway.ended(run)["state"] == "completed"
        assert f'href="/runs/{trial.run}"' in browser.get(f"/runs/{run}").text
        assert f'href="/runs/{run}"' in browser.get(f"/runs/{trial.run}").text
    assert trial.executed() == ["c", "d"]
