"""Runs that do not want to end, and ends that nobody asked for: in the end no process is left."""

import os
import signal

import pytest

from support.eventually import eventually
from support.hand_agent import hand_agent, make_pool
from support.misbehaviour import declare, processes_of
from support.processes import wait_gone

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("bad-endings"),
]


def begun(headway, deployment, ready):
    run = headway.start_run(deployment, ready=str(ready))
    eventually(ready.exists, what="user code runs")
    return run


def cancel(headway, run):
    headway.api("POST", f"/runs/{run}/cancel", {"reason": "enough"})


@pytest.mark.parametrize(
    "name", ["sleeps", "is-busy", "hangs-in-c", "is-stubborn", "leaves-children", "waits"]
)
def test_a_cancel_ends_everything(headway, tmp_path, name):
    run = begun(headway, name, tmp_path / "ready")
    least = 4 if name == "leaves-children" else 2
    eventually(lambda: len(processes_of(headway, run)) >= least)
    cancel(headway, run)
    ended = headway.ended(run)
    assert (ended["state"], ended["reason"]) == ("cancelled", "death seen")
    assert ended["reason_text"] == "cancelled, its process has ended"
    assert processes_of(headway, run) == []
    cause = headway.frames(run, 1)[-1]["cause"]
    stops_by_itself = name in {"sleeps", "is-busy", "leaves-children", "waits"}
    assert (cause == "cancelled") or not stops_by_itself


def test_a_cancel_of_what_has_ended(headway, tmp_path):
    run = begun(headway, "waits", tmp_path / "ready")
    (tmp_path / "ready.go").touch()
    headway.ended(run)
    status, problem = headway.api.answer("POST", f"/runs/{run}/cancel", {})
    assert (status, problem["code"]) == (409, "invalid_state")
    assert "already ended (completed)" in problem["detail"]


def test_a_cancel_while_the_agent_is_dead(headway, tmp_path):
    """Nobody can say that the process has ended: so much is said, and the agent ends it when it is back."""
    make_pool(headway, "mortal")
    declare(headway, "mortal-sleep", "bad_manners:sleeps", pool="mortal")
    with hand_agent(headway, "mortal", headway.home / "mortal") as agent:
        run = begun(headway, "mortal-sleep", tmp_path / "ready")
        agent.process.kill()
        agent.process.wait()
        cancel(headway, run)
        assert headway.api("GET", f"/runs/{run}")["state"] == "cancelling"
        ended = headway.ended(run)
        assert (ended["state"], ended["reason"]) == ("cancelled", "death unconfirmed")
        assert "did not confirm" in ended["reason_text"]
        left = processes_of(headway, run)
        assert left, "it runs on: nobody could tell it"
        agent.start()
        for process in left:
            wait_gone(process.pid)


def test_a_supervisor_that_is_told_to_stop_is_a_death_not_a_cancel(headway, tmp_path):
    """As when the machine shuts down: nobody cancelled the run, so it goes on in a next attempt."""
    ready = tmp_path / "ready"
    run = begun(headway, "waits", ready)
    ready.unlink()
    os.kill(headway.supervisor(run, 1).pid, signal.SIGTERM)
    eventually(ready.exists, what="user code runs again")
    first = headway.frames(run, 1)[-1]
    assert (first["type"], first["outcome"]) == ("attempt.exited", "cancelled")
    (tmp_path / "ready.go").touch()
    ended = headway.ended(run)
    assert (ended["state"], ended["attempt"]) == ("completed", 2)
    assert processes_of(headway, run) == []
