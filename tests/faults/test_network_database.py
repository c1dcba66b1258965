"""The network between control plane and database fails: nothing is acknowledged that is not committed, and all comes back by itself."""

from __future__ import annotations

import asyncio
import random
import threading

import psutil
import pytest

from support import verdicts
from support.capabilities import require
from support.eventually import eventually
from support.far_database import PORT, headway_over_network
from support.load import load
from support.trial import INVARIANTS

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("database network"),
]

LONGEST = 4.0


def outlast(seconds):
    """The length of an outage is what these tests are about: there is nothing to wait for in its place."""
    threading.Event().wait(seconds)


@pytest.fixture(scope="module")
def rig(tmp_path_factory, postgres_binaries):
    require("root", "netns", "nft")
    home, directory = tmp_path_factory.mktemp("h"), tmp_path_factory.mktemp("pg")
    with headway_over_network(home, directory, postgres_binaries) as made:
        made.deploy("effects:many_steps", "many-steps")
        yield made


@pytest.fixture
def net(rig):
    yield rig.net
    rig.net.heal()


@pytest.mark.row(8)
@pytest.mark.trials(0, 5)
def test_partitions(rig, net, trial, seed):
    dice = random.Random(f"database {seed}")
    ways = [{}, {"into": False}, {"out": False}]
    dice.shuffle(ways)
    with load(rig, per_second=0.5, seconds=0.1) as work:
        for way in ways:
            work.until_more_marks(10)
            net.cut(**way)
            outlast(dice.uniform(0.3, 1) * LONGEST)
            dropped = net.dropped()
            assert dropped, f"{way} dropped nothing"
            trial.happened("partition")
            trial.holds(INVARIANTS[2], _ahead_of_the_log(rig, work))
            net.heal()
            _is_back(rig)
    work.drain(120)
    work.judge(trial)


@pytest.mark.row(8)
@pytest.mark.trials(1, 3)
def test_connections_that_are_forgotten(rig, net, trial, seed):
    """Every packet of the connections there are is dropped for good; new ones get through. Nobody tells either end."""
    with load(rig, per_second=0.5, seconds=0.1) as work:
        work.until_more_marks(10)
        ports = _connections(rig)
        for port in ports:
            net.forget_flow(port, ours=True)
        trial.happened("connection forgotten", len(ports))
        work.until_more_marks(10)
        _is_back(rig)
        assert net.dropped()
        trial.holds(INVARIANTS[2], _ahead_of_the_log(rig, work))
        net.heal()
    work.drain(120)
    work.judge(trial)


def _connections(rig):
    """Our ends' ports of the server's connections to its database."""
    server = rig.headway.part("server")
    return [
        each.laddr.port
        for each in server.net_connections("tcp")
        if each.raddr and each.raddr.port == PORT and each.status == psutil.CONN_ESTABLISHED
    ]


def _is_back(rig):
    """A command is committed again."""
    eventually(lambda: _commits(rig), seconds=60, what="the control plane has come back by itself")


def _commits(rig):
    try:
        pool = rig.api("GET", "/pools/local")
        same = {"permits": pool["permits"], "slots": pool["slots"]}
        return rig.api.answer("PUT", "/pools/local", same)[0] < 300
    except (OSError, AssertionError):
        return False


def _ahead_of_the_log(rig, work):
    """What agents hold as acknowledged at this moment and the database does not have."""
    known = [told for state in work.agent_states() if (told := verdicts.told(state))]
    found = asyncio.run(verdicts.log_violations(rig.database_url, known))
    return [violation for violation in found if violation.invariant == 2]
