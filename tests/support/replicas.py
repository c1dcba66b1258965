"""Several control planes on one database, behind balancers for the REST API and for agents; two agents serve a pool behind them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from support.eventually import eventually
from support.hand_agent import HandAgent, make_pool
from support.processes import wait_gone
from support.proxy import Balancer
from support.stack import HEADWAY, SHORT, Api, Stack, free_ports, stack

POOL = "replicated"


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns the shard of the workspace, and until when its lease lasts; read in one statement, by the database's clock."""

    address: str
    epoch: int
    expires_at: datetime
    now: datetime


class Server:
    """`headway server start` on ports of its own."""

    def __init__(self, headway: Stack, directory: Path) -> None:
        self.http_port, self.grpc_port = free_ports(2)
        self.address = f"127.0.0.1:{self.grpc_port}"
        self._log = directory / f"server-{self.http_port}.log"
        self._environment = {
            **headway.environment,
            "HEADWAY_DATABASE_URL": headway.database_url,
            "HEADWAY_HTTP_PORT": str(self.http_port),
            "HEADWAY_GRPC_PORT": str(self.grpc_port),
        }
        self._api = Api(f"http://127.0.0.1:{self.http_port}", headway.api.token)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return once it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [HEADWAY, "server", "start"],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(self._answers, what=f"the server on port {self.http_port}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self._log.read_text()
        try:
            return self._api.answer("GET", "/log/head")[0] == 200
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        assert self.process.wait(30) == -signal.SIGKILL

    def terminate(self) -> int:
        """Ask it to end, as a rolling restart does; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.terminate()


class Replicas:
    """What load needs of a rig, over several servers."""

    def __init__(self, headway: Stack, servers: list[Server], http: Balancer) -> None:
        self.headway, self.servers = headway, servers
        self.agents: list[HandAgent] = []
        self.api = Api(f"http://127.0.0.1:{http.port}", headway.api.token)

    @property
    def database_url(self) -> str:
        return self.headway.database_url

    def run_directories(self, run: str) -> dict[int, Path]:
        found: dict[int, Path] = {}
        for agent in self.agents:
            found |= agent.run_directories(run)
        return found

    def ownership(self) -> Ownership | None:
        """Of the shard of the one workspace; None while nobody owns it."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT r.address, s.epoch, r.expires_at, headway.headway_now()"
                " FROM headway.workspace w JOIN headway.shard s ON s.id = w.shard"
                " JOIN headway.replica r ON r.id = s.owner"
            ).fetchone()
        return None if row is None else Ownership(*row)

    def owner(self) -> Server:
        """The server that owns the workspace's shard."""

        def find() -> Server | None:
            owned = self.ownership()
            alive = [s for s in self.servers if owned and s.address == owned.address]
            return alive[0] if alive else None

        return eventually(find, what="one of the servers owns the shard")

    def heal(self) -> None:
        for server in self.servers:
            if server.process is None or server.process.poll() is not None:
                server.start()


@contextmanager
def replicas(home: Path, directory: Path) -> Iterator[Replicas]:
    """Two servers started by hand. That of `headway up` is ended: it would be a third that tests cannot hold back."""
    with ExitStack() as rig:
        headway = rig.enter_context(stack(home))
        servers = [Server(headway, directory) for _ in range(2)]
        for server in servers:
            rig.callback(server.stop)
            server.start()
        http = rig.enter_context(Balancer([server.http_port for server in servers]))
        grpc = rig.enter_context(Balancer([server.grpc_port for server in servers]))
        make_pool(headway, POOL)
        headway.deploy("effects:many_steps", "many-steps", "--pool", POOL)
        made = Replicas(headway, servers, http)
        for name in ("one", "two"):
            agent = HandAgent(headway, POOL, directory / name, port=grpc.port)
            made.agents.append(agent)
            rig.callback(agent.stop)
            agent.start()
        with _without_its_own_server(headway):
            yield made


@contextmanager
def _without_its_own_server(headway: Stack) -> Iterator[None]:
    """`headway up` stands still meanwhile, or it would start its server again."""
    headway.process.send_signal(signal.SIGSTOP)
    try:
        server = headway.part("server")
        server.terminate()
        wait_gone(server.pid)
        yield
    finally:
        headway.process.send_signal(signal.SIGCONT)


LEASE = float(SHORT["HEADWAY_REPLICA_TTL"])
