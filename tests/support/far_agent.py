"""A Headway whose agents' port lies at our end of a network, and an agent at its far end: between them tests do what networks do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.effects import marks
from support.eventually import eventually
from support.hand_agent import HandAgent, make_pool
from support.netns import Network, network
from support.stack import Stack, stack

POOL = "far"
_ESTABLISHED = "01"


class FarHeadway:
    """What load needs of a rig. `agent` executes everything; that of `headway up` has a pool of its own and no work."""

    def __init__(self, headway: Stack, net: Network, agent: HandAgent) -> None:
        self.headway, self.net, self.agent = headway, net, agent
        self.api = headway.api
        self.deploy, self.ended = headway.deploy, headway.ended
        self.start_run, self.violations = headway.start_run, headway.violations

    @property
    def database_url(self) -> str:
        return self.headway.database_url

    def run_directories(self, run: str) -> dict[int, Path]:
        return self.agent.run_directories(run)

    def shown(self, run: str) -> Mapping[str, Any]:
        return self.api.patiently("GET", f"/runs/{run}")

    def begun(self, file: Path, deployment: str = "waits-for", **parameters: object) -> str:
        """A run whose user code executes at the far end."""
        run = self.start_run(deployment, path=str(file), **parameters)
        eventually(lambda: marks(file), what=f"run {run} has begun")
        return run

    def agent_port(self) -> int:
        """The namespace's port of the one connection that the agent has to the control plane."""
        return eventually(lambda: self._connections(self.agent), what="the agent is connected")[0]

    def _connections(self, agent: HandAgent) -> list[int]:
        assert agent.process is not None
        net = Path(f"/proc/{agent.process.pid}/net")
        rows = [
            line.split()
            for table in ("tcp", "tcp6")  # gRPC's sockets are IPv6 ones that speak IPv4
            for line in (net / table).read_text().splitlines()[1:]
        ]
        return [
            int(local.rpartition(":")[2], 16)
            for _, local, remote, state, *_ in rows
            if state == _ESTABLISHED
            and int(remote.rpartition(":")[2], 16) == self.headway.grpc_port
        ]

    def reassigned(self, runs: list[str]) -> list[str]:
        """Runs that needed more than their first attempt."""
        found = {run: self.shown(run)["attempt"] for run in runs}
        return [f"run {run} is in attempt {number}" for run, number in found.items() if number != 1]


@contextmanager
def far_headway(home: Path, directory: Path, **variables: str) -> Iterator[FarHeadway]:
    with network() as net:
        reach = {
            "HEADWAY_GRPC_HOST": net.here,
            "HEADWAY_TRUSTED_PROXY": "true",  # that is: unprotected, in a network that is all ours
            "HEADWAY_AGENT_INSECURE": "true",
        }
        with stack(home, **reach, **variables) as headway:
            make_pool(headway, POOL)
            server = f"http://{net.here}:{headway.grpc_port}"
            agent = HandAgent(headway, POOL, directory, server=server, before=net.prefix)
            try:
                agent.start()
                yield FarHeadway(headway, net, agent)
            finally:
                net.heal()
                agent.stop()
