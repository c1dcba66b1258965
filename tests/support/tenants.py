"""A second workspace of a running Headway, with an agent of its own: what trouble in one must not be felt in."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headway_control_plane.application.api_keys import issue_api_key
from headway_control_plane.application.bootstrap import Bootstrapped, bootstrap
from headway_control_plane.application.create_pool import DATA_CLASSES
from headway_control_plane.clock import SystemClock
from headway_control_plane.db.credential_store import CredentialStore
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.ids import Uuid7Source
from headway_control_plane.log.committer import Committer
from headway_control_plane.projections.catalogue import RowCatalogue
from headway_control_plane.projections.reading import Reads
from support.hand_agent import HandAgent
from support.stack import FLOWS, HEADWAY, Api, Stack

POOL = "local"
LANES: int = inspect.signature(Committer).parameters["lanes"].default
_ROLES = (Role.APP, Role.COMMITTER, Role.AUTH, Role.MAINTENANCE)


@dataclass
class Tenant:
    """What load and hand agents need of a Headway, for one workspace of `host`."""

    host: Stack
    ws: int
    api: Api
    home: Path
    agent: HandAgent | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.host.environment,
            "HEADWAY_HOME": str(self.home),
            "HEADWAY_API_URL": self.api.url,
            "HEADWAY_API_KEY": self.api.token,
        }

    @property
    def grpc_port(self) -> int:
        return self.host.grpc_port

    @property
    def database_url(self) -> str:
        return self.host.database_url

    def run_directories(self, run: str) -> dict[int, Path]:
        assert self.agent is not None
        return self.agent.run_directories(run)

    def deploy(self, entrypoint: str, name: str) -> None:
        words = ("deploy", entrypoint, "--name", name, "--pool", POOL, "--root", str(FLOWS))
        done = subprocess.run(
            [HEADWAY, *words],
            env=self.environment,
            cwd=FLOWS,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + done.stdout


@contextmanager
def tenant(host: Stack, home: Path, *, lane: int) -> Iterator[Tenant]:
    """A workspace whose writes go through a lane of the committer that is named, with one agent and the usual deployments."""
    ws, token = asyncio.run(_found(host.database_url, lane))
    home.mkdir(parents=True, exist_ok=True)
    made = Tenant(host, ws, Api(host.api.url, token), home)
    made.deploy("effects:many_steps", "many-steps")
    made.agent = HandAgent(made, POOL, home / "hand")  # type: ignore[arg-type]
    try:
        made.agent.start()
        yield made
    finally:
        made.agent.stop()


async def _found(url: str, lane: int) -> tuple[int, str]:
    clock = SystemClock()
    ids = Uuid7Source(clock, secrets.token_bytes)
    async with (
        Database(url, _ROLES) as database,
        Committer(
            database,
            clock=clock,
            ids=ids,
            entropy=secrets.token_bytes,
            random=secrets.SystemRandom().random,
        ) as log,
    ):
        made = await _bootstrap(database, log, ids)
        while made.workspace.ws % LANES != lane:
            made = await _bootstrap(database, log, ids)
        issued = await issue_api_key(
            CredentialStore(database), secrets.token_bytes, clock, made.workspace.ws, name="test"
        )
        return made.workspace.ws, issued.text


async def _bootstrap(database: Database, log: Committer, ids: Uuid7Source) -> Bootstrapped:
    return await bootstrap(
        log,
        RowCatalogue(Reads(database)),
        ids,
        workspace=f"tenant-{secrets.token_hex(6)}",
        pool=POOL,
        permits=DATA_CLASSES,
    )
