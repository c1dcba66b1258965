"""Disks that are full: the agent's, the one that a flow fills by printing, and that of PostgreSQL and everything else on a laptop.

Facts are kept, output may be dropped and says so, and once there is room again everything goes on by itself.
"""

import json

import pytest

from support.agent_rig import AgentRig
from support.capabilities import require
from support.effects import MANY_STEPS
from support.eventually import eventually
from support.hand_agent import hand_agent, make_pool
from support.load import RESULTS, load
from support.small_disk import small_disk
from support.stack import stack

pytestmark = [
    pytest.mark.row(12),
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


@pytest.fixture
def cramped(headway, tmp_path, seed, request):
    """An agent whose state lies on a small disk, in a pool of its own."""
    require("root", "tmpfs")
    pool = f"cramped-{request.node.originalname}-{seed}"
    make_pool(headway, pool)
    with (
        small_disk(tmp_path / "agent" / "state", 24) as disk,
        hand_agent(headway, pool, tmp_path / "agent") as agent,
    ):
        yield AgentRig(headway, agent), disk, pool


@pytest.mark.trials(1, 4)
def test_the_agents_disk_is_full(headway, cramped, trial, seed):
    rig, disk, pool = cramped
    headway.deploy("effects:many_steps", pool, "--pool", pool)
    with load(
        rig, deployment=pool, expected=MANY_STEPS, result=RESULTS["many-steps"], per_second=2.0
    ) as work:
        work.until_marks(10 * (seed + 1))
        disk.fill()
        eventually(lambda: rig.agent.log_lines("No space left"), what="the agent says so")
        trial.happened("agent's disk full")
        assert rig.agent.process.poll() is None
        known = len(work.started)
        eventually(lambda: len(work.started) > known + 4, what="more runs are asked for meanwhile")
        disk.free()
    shown = work.drain()
    work.judge(trial)
    trial.holds("nothing is repeated", [r for r in shown.values() if r["attempt"] != 1])


@pytest.mark.trials(1, 2)
def test_a_flow_fills_the_disk_with_output(headway, cramped, trial, seed):
    rig, disk, pool = cramped
    headway.deploy("chatty:chatty", pool, "--pool", pool)
    marks = {"flow", "step-1"}
    with load(rig, deployment=pool, expected=marks, per_second=0.5, most=3, mebibytes=30) as work:
        eventually(lambda: disk.room < 1 << 20, what="the disk is full of output")
        trial.happened("disk full of output")
    shown = work.drain()
    trial.holds("nothing is repeated", [r for r in shown.values() if r["attempt"] != 1])
    first = next(iter(shown))
    last = json.loads((rig.run_directories(first)[1] / "output.log").read_bytes().splitlines()[-1])
    assert last["line"] < 30 * 1024
    work.judge(trial)


@pytest.mark.trials(1, 3)
def test_everything_on_one_full_disk(tmp_path_factory, trial, seed):
    """`headway up` with its home, database and agent included, on a disk that others fill."""
    require("root", "tmpfs")
    home = tmp_path_factory.mktemp("h")
    with small_disk(home, 320) as disk, stack(home) as headway:
        headway.deploy("effects:many_steps", "many-steps")
        log = home / "log" / "postgres.log"
        with load(headway, per_second=2.0) as work:
            work.until_marks(10 * (seed + 1))
            disk.fill()
            eventually(
                lambda: fills_again(disk) and cannot_write(headway, log),
                what="PostgreSQL has no room",
            )
            trial.happened("PostgreSQL's disk full")
            disk.free()
        work.drain()
        work.judge(trial)


def fills_again(disk):
    """Whatever was given back meanwhile is taken too."""
    disk.fill()
    return True


def cannot_write(headway, log):
    return "No space left on device" in log.read_text()
