"""Bad lines: packets get lost, little fits through, everything takes long. Work goes on, and nobody's memory fills up."""

from __future__ import annotations

import random

import psutil
import pytest

from support.capabilities import require
from support.effects import MANY_STEPS
from support.eventually import eventually
from support.far_agent import POOL, far_headway
from support.hand_agent import hand_agent, make_pool
from support.load import load
from support.memory import MemoryWatch
from support.proxy import Proxy

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("network"),
]

TERMS = {"HEADWAY_REASSIGN_AFTER": "60"}
DELAY = 0.5
GROWTH = 64
"""MiB that a process may grow by: a fraction of what it would hold if it kept all that waits."""
LINES, TALKERS = 300, 4


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    require("root", "netns", "nft", "tc")
    home, directory = tmp_path_factory.mktemp("h"), tmp_path_factory.mktemp("far")
    with far_headway(home, directory, **TERMS) as made:
        made.deploy("effects:many_steps", "many-steps", "--pool", POOL)
        made.deploy("talkative:talkative", "talkative", "--pool", POOL)
        yield made


@pytest.fixture
def net(far):
    yield far.net
    far.net.heal()


def watched(far):
    return MemoryWatch(
        server=far.headway.part("server"), agent=psutil.Process(far.agent.process.pid)
    )


@pytest.mark.row(9)
@pytest.mark.trials(1, 6)
def test_loss(far, net, trial, seed):
    percent = random.Random(f"loss {seed}").randint(5, 30)
    with load(far, per_second=0.5, seconds=0.05) as work:
        work.until_more_marks(5)
        with watched(far) as memory:
            net.lose(percent)
            work.until_more_marks(60)
            trial.happened("packets lost", net.dropped())
            net.heal()
    work.drain()
    trial.holds("memory", memory.beyond(GROWTH))
    trial.holds("nothing reassigned", far.reassigned(work.runs))
    work.judge(trial)


@pytest.mark.row(9)
@pytest.mark.trials(1, 3)
def test_a_narrow_link(far, net, trial, seed, tmp_path):
    """Output that needs many times what fits through does not hold up the facts of others."""
    with load(far, per_second=0.3, seconds=0.05) as work:
        work.until_more_marks(5)
        with watched(far) as memory:
            net.narrow("1mbit")
            talkers = [
                far.start_run("talkative", path=str(tmp_path / f"{n}"), lines=LINES)
                for n in range(TALKERS)
            ]
            work.until_more_marks(30)
            trial.happened("packets held back", net.delayed())
            trial.holds("talkers complete", _not_completed(far, talkers))
            for run in talkers:
                eventually(lambda r=run: _lines(far, r) >= LINES, what=f"all lines of {run}")
            net.heal()
    work.drain()
    trial.holds("memory", memory.beyond(GROWTH))
    trial.holds("nothing reassigned", far.reassigned([*work.runs, *talkers]))
    work.judge(trial)


def _not_completed(far, runs):
    ends = {run: far.ended(run, seconds=120)["state"] for run in runs}
    return [f"{run} is {state}" for run, state in ends.items() if state != "completed"]


def _lines(far, run):
    return far.api("GET", f"/runs/{run}/logs?tail=true&limit=1")["last_line"]


class DelayedHeadway:
    """The same Headway, its load on an agent that is half a second away."""

    def __init__(self, far, agent):
        self.api, self.database_url = far.api, far.database_url
        self.run_directories = agent.run_directories


@pytest.mark.row(9)
@pytest.mark.trials(0, 3)
def test_delay(far, trial, seed, tmp_path):
    pool = f"delayed-{seed}"
    make_pool(far.headway, pool)
    far.deploy("effects:many_steps", pool, "--pool", pool)
    with (
        Proxy(far.headway.grpc_port, far.net.here) as proxy,
        hand_agent(far.headway, pool, tmp_path, port=proxy.port) as agent,
    ):
        rig = DelayedHeadway(far, agent)
        named = {"deployment": pool, "expected": MANY_STEPS, "seconds": 0.05}
        with load(rig, per_second=0.5, **named) as work:
            work.until_more_marks(5)
            server = far.headway.part("server")
            with MemoryWatch(server=server, agent=psutil.Process(agent.process.pid)) as memory:
                proxy.delay = DELAY
                passed = proxy.bytes_up
                work.until_more_marks(60)
                trial.happened("bytes delayed", proxy.bytes_up - passed)
                proxy.delay = 0.0
        work.drain()
        trial.holds("memory", memory.beyond(GROWTH))
        trial.holds("nothing reassigned", far.reassigned(work.runs))
        work.judge(trial)
