"""The network between an agent and its control plane fails in each way that networks fail: runs go on, and nobody else gets them."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager

import psutil
import pytest

from support.capabilities import require
from support.eventually import eventually
from support.far_agent import POOL, far_headway
from support.load import load

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("network"),
]

TTL = 3.0
TERMS = {
    "HEADWAY_LEASE_TTL": f"{TTL:g}",
    "HEADWAY_RENEW_INTERVAL": "1",
    "HEADWAY_RECONNECT_CAP": "1",
    "HEADWAY_REASSIGN_AFTER": "60",  # far beyond every cut here, on a busy machine too
    "HEADWAY_REPLICA_TTL": "3",
    "HEADWAY_SWEEP_INTERVAL": "0.3",
}
DETECTION = 45.0
"""What ENGINEERING allows with leases of 30 s, and so far more than these need."""


def outlast(seconds):
    """The length of an outage is what these tests are about: there is nothing to wait for in its place."""
    threading.Event().wait(seconds)


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    require("root", "netns", "nft", "tc")
    home, directory = tmp_path_factory.mktemp("h"), tmp_path_factory.mktemp("far")
    with far_headway(home, directory, **TERMS) as made:
        made.deploy("effects:many_steps", "many-steps", "--pool", POOL)
        made.deploy("effects:waits_for", "waits-for", "--pool", POOL)
        yield made


@pytest.fixture
def net(far):
    yield far.net
    far.net.heal()


def full(net, dice):
    net.cut()
    outlast(dice.uniform(1.2, 2.0) * TTL)


def nothing_leaves(net, dice):
    net.cut(into=False)
    outlast(dice.uniform(1.2, 2.0) * TTL)


def nothing_arrives(net, dice):
    net.cut(out=False)
    outlast(dice.uniform(1.2, 2.0) * TTL)


def flapping(net, dice):
    for _ in range(6):
        net.cut()
        outlast(dice.uniform(0.1, 0.8))
        net.heal()
        outlast(dice.uniform(0.1, 0.8))
    net.cut()
    outlast(dice.uniform(0.1, 0.8))


@pytest.mark.row(7)
@pytest.mark.trials(1, 5)
def test_partitions(far, net, trial, seed):
    dice = random.Random(f"partitions {seed}")
    partitions = [full, nothing_leaves, nothing_arrives, flapping]
    dice.shuffle(partitions)
    with load(far, per_second=0.5, seconds=0.15) as work:
        for partition in partitions:
            work.until_more_marks(5)
            before = work.marks()
            partition(net, dice)
            assert work.marks() > before, "flows stood still behind a partition"
            assert net.dropped(), f"{partition.__name__} dropped nothing"
            trial.happened(f"partition: {partition.__name__}")
            net.heal()
            work.until_more_marks(5)
    work.drain()
    trial.holds("nothing reassigned", far.reassigned(work.runs))
    work.judge(trial)


@pytest.mark.row(11)
@pytest.mark.trials(1, 4)
def test_half_open_connections(far, net, trial, seed):
    """A router forgets a connection; a control plane and then an agent die without their ends being heard."""
    dice = random.Random(f"half-open {seed}")
    ways = [_forgotten, _silent_death_of_the_server, _silent_death_of_the_agent]
    dice.shuffle(ways)
    with load(far, per_second=0.4, seconds=0.15) as work:
        for way in ways:
            work.until_more_marks(5)
            way(far, net, trial)
            assert net.dropped(), f"{way.__name__} dropped nothing"
            net.heal()
            work.until_more_marks(5)
    work.drain()
    trial.holds("nothing reassigned", far.reassigned(work.runs))
    work.judge(trial)


def _forgotten(far, net, trial):
    port = far.agent_port()
    with _agent_notices(far):
        net.forget_flow(port)
    trial.happened("NAT forgets the connection")


def _silent_death_of_the_server(far, net, trial):
    server = far.headway.part("server")
    net.swallow_ends()
    with _agent_notices(far):
        server.kill()
    trial.happened("kill -9 server, unheard")


def _silent_death_of_the_agent(far, net, trial):
    net.swallow_ends()
    agent = psutil.Process(far.agent.process.pid)
    agent.kill()
    far.agent.wait()
    eventually(lambda: _is_missed(far), seconds=DETECTION, what="the control plane misses it")
    far.agent.start()
    trial.happened("kill -9 agent, unheard")


@contextmanager
def _agent_notices(far):
    """What happens inside leads to a new stream, for the agent has found out by itself that the old one is dead."""
    gone, back = "does not answer", "connected"
    before = {word: far.agent.log_lines(word) for word in (gone, back)}
    yield
    for word, seen in before.items():
        eventually(
            lambda w=word, s=seen: far.agent.log_lines(w) - s,
            seconds=DETECTION,
            what=f"the agent says {word}",
        )


def _is_missed(far):
    agents = far.api.patiently("GET", f"/agents?pool={POOL}")["items"]
    return all(agent["status"] == "lost" for agent in agents)
