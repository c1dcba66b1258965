"""Messages that come twice, late, out of order or cut short: the log holds each fact once, and nothing is lost."""

from __future__ import annotations

import random

import pytest

from support.eventually import eventually
from support.hand_agent import HandAgent, make_pool
from support.load import load
from support.proxy import Proxy
from support.rough_stream import RoughStream
from support.stack import stack

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("messages"),
]

LEAST = {"twice": 10, "late": 10, "held": 3, "short": 1}
TEARS = 3
POOL = "rough"


class RoughHeadway:
    """A Headway whose agent speaks through a relay that tears connections, and through one that mistreats messages."""

    def __init__(self, headway, proxy, rough, agent):
        self.proxy, self.rough, self.agent = proxy, rough, agent
        self.api, self.database_url = headway.api, headway.database_url
        self.run_directories = agent.run_directories


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    # An assignment that overtakes its stream's Welcome is not heard: no real stream does that, and the deadline is for it.
    terms = {"HEADWAY_REASSIGN_AFTER": "60", "HEADWAY_START_TIMEOUT": "30"}
    with stack(tmp_path_factory.mktemp("h"), **terms) as headway:
        make_pool(headway, POOL)
        headway.deploy("effects:many_steps", "many-steps", "--pool", POOL)
        with (
            RoughStream(f"127.0.0.1:{headway.grpc_port}") as rough,
            Proxy(rough.port) as proxy,
        ):
            agent = HandAgent(headway, POOL, tmp_path_factory.mktemp("rough"), port=proxy.port)
            try:
                agent.start()
                yield RoughHeadway(headway, proxy, rough, agent)
            finally:
                rough.calm()
                agent.stop()


@pytest.mark.row(10)
@pytest.mark.trials(1, 8)
def test_mistreated_messages(rig, trial, seed):
    dice = random.Random(f"messages {seed}")
    before, tears = rig.rough.did.copy(), rig.proxy.tears
    with load(rig, per_second=0.5, seconds=0.1) as work:
        work.until_marks(3)
        rig.rough.disturb(f"messages {seed}")
        for torn in range(1, TEARS + 1):
            rig.proxy.tear_after(dice.randrange(1, 4000))
            eventually(lambda n=torn: rig.proxy.tears >= tears + n, what="torn bytes")
        did = eventually(
            lambda: _enough(rig.rough.did - before), what=f"mistreatment: {LEAST}", seconds=90
        )
        rig.rough.calm()
    work.drain()
    for kind in LEAST:
        trial.happened(f"message {kind}", did[kind])
    trial.happened("bytes torn", rig.proxy.tears - tears)
    trial.holds("the agent lives", _deaths(rig.agent))
    work.judge(trial)


def _enough(did):
    return did if all(did[kind] >= least for kind, least in LEAST.items()) else None


def _deaths(agent):
    code = agent.process.poll()
    return [] if code is None else [f"the agent ended with {code}: {agent.log.read_text()[-500:]}"]
