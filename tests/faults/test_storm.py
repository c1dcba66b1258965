"""Everybody comes back at once: all are let in, at the pace that the control plane sets, and nobody's runs are given away."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from support.eventually import eventually
from support.hand_agent import make_pool
from support.memory import MemoryWatch
from support.stack import stack
from support.storm import Storm

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("storm"),
]

POOL = "storm"


@dataclass(frozen=True, slots=True)
class Size:
    """How many agents, and leases that a machine can renew for so many of them beside everything else that it does."""

    agents: int
    ttl: float
    reassign_after: float

    def terms(self) -> dict[str, str]:
        return {
            "HEADWAY_LEASE_TTL": f"{self.ttl:g}",
            "HEADWAY_RENEW_INTERVAL": f"{self.ttl / 2:g}",
            "HEADWAY_RECONNECT_CAP": "1",
            "HEADWAY_REASSIGN_AFTER": f"{self.reassign_after:g}",
            "HEADWAY_REPLICA_TTL": f"{self.ttl / 2:g}",
            "HEADWAY_SWEEP_INTERVAL": "0.3",
        }


SHORT, LONG = Size(200, 6, 3), Size(2_000, 30, 30)
RUNS = 40
GROWTH = 64
"""MiB that coming back may cost beyond what being there costs."""


@pytest.fixture(scope="module")
def size(pytestconfig):
    """The long form is one storm of the size that ENGINEERING asks for, not many small ones."""
    return LONG if pytestconfig.getoption("--faults") == "long" else SHORT


@pytest.fixture(scope="module")
def headway(tmp_path_factory, size):
    with stack(tmp_path_factory.mktemp("h"), **size.terms()) as running:
        make_pool(running, POOL)
        running.deploy("effects:one_step", POOL, "--pool", POOL)
        yield running


@pytest.mark.row(19)
def test_everybody_comes_back_at_once(headway, trial, size):
    agents = size.agents
    with Storm(f"127.0.0.1:{headway.grpc_port}", headway.api, POOL, agents) as storm:
        print(f"first: {storm.connect()}")
        runs = [headway.start_run(POOL, path="") for _ in range(RUNS)]
        eventually(lambda: storm.held() == RUNS, what=f"{RUNS} attempts have begun")
        with MemoryWatch(server=headway.part("server")) as memory:
            storm.cut()
            trial.happened("agent cut", agents)
            eventually(lambda: _connected(headway) == 0, what="all are missed", seconds=180)
            # Beyond what a lost agent of its own is given: only the loss of so many holds its runs back.
            threading.Event().wait(1.5 * size.reassign_after)
            back = storm.connect()
            print(f"again: {back}")
        trial.happened("handshake put off", back.refused.get("RESOURCE_EXHAUSTED", 0))
        trial.holds("all are welcomed", [] if len(back.seconds) == agents else [str(back)])
        trial.holds("memory", memory.beyond(GROWTH))
        eventually(
            lambda: _connected(headway) == agents, what="all are shown as connected", seconds=180
        )
        storm.finish()
    ends = {run: headway.ended(run) for run in runs}
    trial.holds(
        "nothing reassigned",
        [
            f"{run} is {shown['state']} in attempt {shown['attempt']}"
            for run, shown in ends.items()
            if (shown["state"], shown["attempt"]) != ("completed", 1)
        ],
    )
    trial.holds("the log's invariants", headway.violations())


def _connected(headway):
    return headway.api("GET", f"/pools/{POOL}")["agents"]
