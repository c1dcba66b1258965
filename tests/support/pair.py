"""Rigs of agents behind proxies: one, or two in one pool of which `first` is cut off or stopped and `second` is there to take over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from support.hand_agent import HandAgent, make_pool
from support.proxy import Proxy
from support.stack import Api, Stack, stack

POOL = "pair"
OPEN = ("scheduled", "pending", "running", "paused", "cancelling")
LEASE_TTL = 2.0
REASSIGN_AFTER = 8.0
TERMS = {
    "HEADWAY_LEASE_TTL": f"{LEASE_TTL}",
    "HEADWAY_RENEW_INTERVAL": "0.5",
    "HEADWAY_RECONNECT_CAP": "0.5",
    "HEADWAY_REASSIGN_AFTER": f"{REASSIGN_AFTER}",
    "HEADWAY_REPLICA_TTL": "2",
}


class Behind:
    """An agent behind a proxy as a rig: what load needs is here."""

    def __init__(self, headway: Stack, proxy: Proxy, agent: HandAgent) -> None:
        self.headway, self.proxy, self.agent = headway, proxy, agent
        self.api = headway.api
        self.run_directories = agent.run_directories

    @property
    def database_url(self) -> str:
        return self.headway.database_url


class Pair:
    """A Headway whose flows run on two agents; what load needs of a rig is here."""

    def __init__(self, headway: Stack, proxy: Proxy, first: HandAgent, second: HandAgent) -> None:
        self.headway, self.proxy, self.first, self.second = headway, proxy, first, second

    @property
    def api(self) -> Api:
        return self.headway.api

    @property
    def database_url(self) -> str:
        return self.headway.database_url

    def run_directories(self, run: str) -> dict[int, Path]:
        """The attempts of a run, on whichever agent they were."""
        return self.first.run_directories(run) | self.second.run_directories(run)

    def heal(self) -> None:
        """Both agents speak again; no run is left behind for the next test."""
        self.proxy.mend()
        if self.first.process is not None:
            psutil.Process(self.first.process.pid).resume()
        self.second.stop()
        for state in OPEN:
            for run in self.api.patiently("GET", f"/runs?state={state}")["items"]:
                # It may have ended by itself meanwhile: then the answer says so.
                self.api.answer("POST", f"/runs/{run['id']}/cancel", {})
                self.headway.ended(run["id"])

    @contextmanager
    def idle_second(self) -> Iterator[None]:
        """The second agent, started once the first one has the runs of the test, and gone for the next test."""
        self.second.start()
        try:
            yield
        finally:
            self.second.stop()


@contextmanager
def pair_of_agents(home: Path, directory: Path) -> Iterator[Pair]:
    with stack(home, **TERMS) as headway:
        make_pool(headway, POOL)
        for entrypoint in ("many_steps", "waits_for", "waits_for_its_own"):
            headway.deploy(f"effects:{entrypoint}", entrypoint.replace("_", "-"), "--pool", POOL)
        with Proxy(headway.grpc_port) as proxy:
            first = HandAgent(headway, POOL, directory / "first", port=proxy.port)
            second = HandAgent(headway, POOL, directory / "second")
            try:
                first.start()
                yield Pair(headway, proxy, first, second)
            finally:
                proxy.mend()
                first.stop()
                second.stop()
