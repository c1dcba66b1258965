"""The same blows with `isolation = reuse`: what dies in a process that takes run after run harms no other run of it."""

import json
import random

import pytest

from support.load import load
from support.stack import stack
from support.strikes import strike

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(300)]

BESIDE_A_WRITE = [
    ("before_starting_durable", 1),
    ("after_starting", 1),
    ("before_commit", 1),
    ("before_commit", 6),
    ("after_commit", 6),
]


@pytest.fixture(scope="module")
def reusing(tmp_path_factory):
    home = tmp_path_factory.mktemp("h")
    allowed = {"HEADWAY_AGENT_ALLOW_FAULTS": str(home / "fault"), "HEADWAY_AGENT_SLOTS": "2"}
    with stack(home, **allowed) as running:
        running.deploy("effects:many_steps", "many-steps", "--isolation", "reuse")
        running.deploy("effects:one_step", "one-step", "--isolation", "reuse")
        yield running


def warmed(headway, work):
    """Runs a few, so that the next one finds a process; gives the pid of its supervisor."""
    for _ in range(3):
        each = work.start("one-step", expected={"flow", "step-1"})
        headway.ended(each.run)
    return headway.frames(each.run, 1)[0]["pid"]


def leave_fault(headway, at, n):
    unnamed = headway.home / "fault.new"
    unnamed.write_text(json.dumps({"at": at, "n": n}))
    unnamed.replace(headway.home / "fault")


@pytest.mark.row(2)
@pytest.mark.parametrize(("at", "n"), BESIDE_A_WRITE)
def test_a_kept_supervisor_dies_beside_a_durable_write(reusing, trial, at, n):
    with load(reusing, most=0) as work:
        kept = warmed(reusing, work)
        leave_fault(reusing, at, n)
        each = work.start("many-steps")
        reusing.ended(each.run)
        after = work.start("one-step", expected={"flow", "step-1"})
    work.drain()
    assert not (reusing.home / "fault").exists()
    trial.happened(f"kill -9 kept supervisor {at.replace('_', ' ')}")
    work.judge(trial)
    last = reusing.frames(each.run, 1)[-1]
    assert (last["outcome"], last["cause"]) == ("crashed", "supervisor lost")
    pids = {
        reusing.frames(run, fence)[0].get("pid") for run, fence in ((each.run, 2), (after.run, 1))
    }
    trial.holds("the dead process took no other run", [pid for pid in pids if pid == kept])


@pytest.mark.row(2)
@pytest.mark.parametrize("at", ["before_spawn", "after_spawn"])
def test_the_agent_dies_beside_a_start_in_a_kept_process(reusing, trial, at):
    before = reusing.part("agent").pid
    with load(reusing, most=0) as work:
        warmed(reusing, work)
        leave_fault(reusing, at, 1)
        each = work.start("many-steps")
    work.drain()
    assert reusing.part("agent").pid != before
    trial.happened(f"kill -9 agent {at.replace('_', ' ')} of a kept process")
    work.judge(trial)
    shown = reusing.api.patiently("GET", f"/runs/{each.run}")
    trial.holds(
        "the attempt runs once",
        [] if (shown["state"], shown["attempt"]) == ("completed", 1) else [shown],
    )


@pytest.mark.row(2)
@pytest.mark.trials(1, 5)
@pytest.mark.parametrize("target", ["flow", "supervisor", "agent", "agent and its child"])
def test_runs_of_kept_processes_survive_the_death_of_anything(
    reusing, trial, thorough, target, seed
):
    rng = random.Random(f"kept-{target}-{seed}")
    with load(reusing, per_second=2.0, seconds=0.03) as work:
        for _ in range(3 if thorough else 1):
            work.until_more_marks(rng.choice([1, 5, 20, 40]))
            strike(reusing, work, trial, target, rng)
        work.until_more_marks()
    work.drain()
    work.judge(trial)
