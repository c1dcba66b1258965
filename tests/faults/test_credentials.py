"""Credentials that end during a run: the stream closes, what the agent holds stays on its disk, and a new credential goes on."""

from __future__ import annotations

import subprocess
import urllib.request

import pytest

from support.effects import marks, violations
from support.eventually import eventually
from support.hand_agent import HandAgent, hand_agent, make_pool
from support.load import load

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(300)]

WITHIN = 60.0
"""A revoked agent's stream is closed: what the row allows. It is a second or so."""


def status(headway, token, path="/whoami"):
    api = type(headway.api)(headway.api.url, token)
    return api.answer("GET", path)[0]


def revoke(headway, path):
    """Answers of 204 hold no JSON."""
    request = urllib.request.Request(f"{headway.api.url}/api/v1{path}", method="DELETE")
    request.add_header("Authorization", f"Bearer {headway.api.token}")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 204


@pytest.mark.row(23)
def test_an_agent_that_is_revoked_during_a_run_stops_speaking_and_a_new_one_takes_over(
    headway, trial, tmp_path
):
    make_pool(headway, "revoked")
    headway.deploy("effects:waits_for", "revoked-waits", "--pool", "revoked")
    gate, file = tmp_path / "gate", tmp_path / "marks"
    with load(headway, per_second=1.0, seconds=0.02) as work:
        agent = HandAgent(headway, "revoked", tmp_path / "first")
        try:
            agent.start()
            run = headway.start_run("revoked-waits", path=str(file), gate=str(gate))
            eventually(lambda: marks(file), what="the flow has begun")
            (mine,) = [
                a for a in headway.api("GET", "/agents")["items"] if a["pool"]["name"] == "revoked"
            ]
            revoke(headway, f"/agents/{mine['id']}?reason=test")
            code = agent.wait(WITHIN)
            trial.happened("agent revoked")
            trial.holds(
                "its agent ends with advice",
                () if agent.log_lines("enrol --force") else [f"exit {code}"],
            )
            kept = agent.run_directories(run)[1] / "frames.log"
            trial.holds("the spool keeps", () if kept.stat().st_size else ["frames.log is empty"])
            trial.holds("no other stream with it", dials_again(agent))
            with hand_agent(headway, "revoked", tmp_path / "second") as second:
                eventually(
                    lambda: len({m.fence for m in marks(file)}) == 2, what="the next attempt"
                )
                gate.touch()
                ended = headway.ended(run)
                trial.holds("the run ends", () if ended["state"] == "completed" else [str(ended)])
                directories = agent.run_directories(run) | second.run_directories(run)
                trial.holds("effects", violations(file, directories, {"flow"}))
        finally:
            gate.touch()
            agent.stop()
        work.drain()
    work.judge(trial)


def dials_again(agent):
    """Started again with the same state, it is refused and ends."""
    with agent.log.open("ab") as log:
        again = subprocess.Popen(
            agent.command, env=agent.stack.environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            code = again.wait(WITHIN)
        finally:
            if again.poll() is None:
                again.kill()
                again.wait()
    return () if code else ["a revoked agent was served"]


@pytest.mark.row(23)
def test_a_key_that_is_revoked_under_load_ends_at_once_and_its_successor_goes_on(headway, trial):
    with load(headway, per_second=1.0, seconds=0.02) as work:
        made = headway.api("POST", "/api-keys", {"name": "first"})
        successor = headway.api("POST", "/api-keys", {"name": "second"})
        tokens = [made["key"], successor["key"]]
        assert [status(headway, token) for token in tokens] == [200, 200]
        work.until_more_marks(2)
        revoke(headway, f"/api-keys/{made['id']}")
        trial.happened("API key revoked")
        trial.holds(
            "the key ends", () if status(headway, tokens[0]) == 401 else ["it is still taken"]
        )
        trial.holds(
            "its successor goes on", () if status(headway, tokens[1]) == 200 else ["refused"]
        )
        work.until_more_marks(2)
        work.drain()
    work.judge(trial)


@pytest.mark.row(23)
def test_an_enrolment_token_is_used_once(headway, trial, tmp_path):
    make_pool(headway, "once")
    with hand_agent(headway, "once", tmp_path / "first") as first:
        thief = HandAgent(headway, "once", tmp_path / "thief")
        thief.set_token(first.token_text())
        trial.holds("the second is refused", dials_again(thief))
        trial.happened("enrolment token used twice")
        agents = [a for a in headway.api("GET", "/agents")["items"] if a["pool"]["name"] == "once"]
        trial.holds("one agent", () if len(agents) == 1 else agents)
    trial.holds("invariants", headway.violations())
