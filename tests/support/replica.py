"""A replica of the control plane for tests: log, dispatcher, sweeper and agents' server on a real database and a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from uuid import UUID

from headway_control_plane.application.catalogue import Catalogue
from headway_control_plane.application.credentials import Credentials
from headway_control_plane.application.enrolment import issue_enrolment_token
from headway_control_plane.application.ports import Hints, Log
from headway_control_plane.background.service import Service
from headway_control_plane.background.supervisor import Supervisor
from headway_control_plane.background.sweeper import Sweeper, SweeperSettings
from headway_control_plane.clock import Clock, SystemClock
from headway_control_plane.db.credential_store import CredentialStore
from headway_control_plane.db.pool import Database, PoolOptions
from headway_control_plane.db.roles import Role
from headway_control_plane.dispatch.dispatcher import Dispatcher, DispatcherSettings
from headway_control_plane.dispatch.ownership import LeaseTerms
from headway_control_plane.dispatch.rows import DispatchRows
from headway_control_plane.dispatch.shards import ShardLeases
from headway_control_plane.domain.commands import CreatePool, CreateRun, Deploy, EnrolAgent
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.run.events import OnLost
from headway_control_plane.domain.streams import Blob
from headway_control_plane.grpc_api.server import AgentServer
from headway_control_plane.grpc_api.settings import AgentServerSettings, Limits
from headway_control_plane.ids import IdSource, Uuid7Source
from headway_control_plane.log.committer import Committer
from headway_control_plane.log.hints import NotifyHints
from headway_control_plane.projections.catalogue import RowCatalogue
from headway_control_plane.projections.reading import Reads
from support.fake_agent import FakeAgent, Identity, enrol


@dataclass(frozen=True, slots=True)
class SchedulingSettings:
    agents: AgentServerSettings = field(default_factory=AgentServerSettings)
    sweeper: SweeperSettings = field(default_factory=SweeperSettings)
    dispatcher: DispatcherSettings = field(default_factory=DispatcherSettings)
    shards: LeaseTerms = field(default_factory=LeaseTerms)


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What runs."""

    shards: ShardLeases
    dispatcher: Dispatcher
    sweeper: Sweeper
    server: AgentServer
    supervisor: Supervisor


@asynccontextmanager
async def scheduling(
    database: Database,
    log: Log,
    credentials: Credentials,
    clock: Clock,
    ids: IdSource,
    random: Random,
    settings: SchedulingSettings,
    *,
    replica: UUID,
    hints: Hints | None = None,
    address: str = "",
) -> AsyncIterator[Scheduling]:
    """Run them. On the way out agents are asked to move first, then the shards are given up, so that others take over at once."""
    shards = ShardLeases(database, clock, replica=replica, address=address, terms=settings.shards)
    sweeper = Sweeper(database, log, shards, clock, settings.sweeper)
    dispatcher = Dispatcher(
        DispatchRows(database), log, shards, clock, settings=settings.dispatcher
    )
    server = AgentServer(
        database,
        log,
        credentials,
        clock,
        ids,
        random,
        settings.agents,
        replica=replica,
        alone=lambda: shards.alone,
        hints=hints,
    )
    dispatching = Service(dispatcher, random=random, prompt=True)
    delivering = Service(server.delivery, random=random)
    dispatcher.on_wake(dispatching.wake)
    log.foresee_with(dispatcher.foresee)
    server.on_wake(delivering.wake)
    shards.on_change(sweeper.on_shards)
    shards.on_change(dispatcher.on_shards)
    ends = [log.on_commit(dispatcher.on_commit), log.on_commit(sweeper.on_commit)]
    if hints is not None:
        ends.append(hints.on_remote_hint(dispatcher.on_hint))
    supervisor = Supervisor(
        [
            Service(shards, random=random, prompt=True),
            Service(sweeper, random=random),
            dispatching,
            delivering,
        ]
    )
    try:
        async with supervisor, server:
            yield Scheduling(shards, dispatcher, sweeper, server, supervisor)
    finally:
        for end in ends:
            end()
        await dispatcher.stop()
        await shards.retire()


ROLES = tuple(role for role in Role if role is not Role.OWNER)
PATIENCE = 30.0


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


FAST = Policy(
    lease_ttl=seconds(1.0),
    renew_interval=seconds(0.3),
    reconnect_grace=seconds(0.5),
    reassign_after=seconds(1.5),
)


def fast_settings(
    policy: Policy = FAST, limits: Limits | None = None, **agents
) -> SchedulingSettings:
    """Everything scaled down, in the proportions of the real thing."""
    server = AgentServerSettings(
        policy=policy,
        limits=limits or Limits(),
        drain_grace=seconds(0.4),
        renew_window=seconds(0.01),
        sweep_interval=seconds(0.1),
        sweep_interval_alone=seconds(0.5),
        hello_timeout=seconds(5),
        key_cache=seconds(0.2),
    )
    return SchedulingSettings(
        agents=replace(server, **agents),
        sweeper=SweeperSettings(
            policy=policy,
            interval=seconds(0.05),
            brake_hold=seconds(60),
            orphan_interval=seconds(1),
        ),
        dispatcher=DispatcherSettings(reload_interval=seconds(5), reload_pause=seconds(0.02)),
        shards=LeaseTerms(
            ttl=seconds(1.5),
            renew_interval=seconds(0.3),
            margin=seconds(0.2),
            claim_interval=seconds(0.1),
        ),
    )


@dataclass
class Replica:
    """One process's worth of control plane, in the test's event loop."""

    id: UUID
    database: Database
    log: Committer
    parts: Scheduling
    ids: Uuid7Source
    url: str

    async def freeze(self) -> None:
        """Stop all loops without giving anything back, as a process that is killed or hangs."""
        await self.parts.supervisor.stop()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.parts.server.port}"


@asynccontextmanager
async def open_replica(
    url: str, settings: SchedulingSettings | None = None
) -> AsyncIterator[Replica]:
    settings = settings or fast_settings()
    clock = SystemClock()
    ids = Uuid7Source(clock, os.urandom)
    replica = ids()
    async with (
        Database(url, ROLES, PoolOptions(max_size=6)) as database,
        Committer(
            database,
            clock=clock,
            ids=ids,
            entropy=os.urandom,
            random=random.Random(7).random,
            policy=settings.agents.policy,
        ) as log,
        NotifyHints(database, log, replica=replica) as hints,
        scheduling(
            database,
            log,
            CredentialStore(database),
            clock,
            ids,
            random.Random(7),
            settings,
            replica=replica,
            hints=hints,
        ) as parts,
    ):
        made = Replica(replica, database, log, parts, ids, url)
        await until(lambda: len(parts.shards.held()) >= 512, what="shards of our own")
        yield made


@dataclass
class World:
    """A workspace with a pool and a deployment."""

    replica: Replica
    ws: int
    pool: UUID
    deployment: UUID
    spec: DeploymentDeployed
    agents: list[FakeAgent] = field(default_factory=list)

    async def execute(self, command):
        return await self.replica.log.execute(self.ws, command, actor="test")

    async def identity(self) -> Identity:
        identity = Identity.new(self.replica.ids())
        await self.execute(EnrolAgent(identity.agent, "agent", self.pool, identity.public_key))
        return identity

    async def agent(self, *, replica: Replica | None = None, slots: int = 4) -> FakeAgent:
        """An enrolled agent that is not connected; the world closes it."""
        agent = FakeAgent((replica or self.replica).target, await self.identity(), slots=slots)
        self.agents.append(agent)
        return agent

    def again(self, agent: FakeAgent, *, replica: Replica | None = None) -> FakeAgent:
        """The same agent after a restart of its process: another session."""
        made = FakeAgent((replica or self.replica).target, agent.identity, slots=agent.slots)
        self.agents.append(made)
        return made

    async def token(self) -> str:
        database = self.replica.database
        catalogue: Catalogue = RowCatalogue(Reads(database))
        issued = await issue_enrolment_token(
            CredentialStore(database), catalogue, os.urandom, SystemClock(), self.ws, pool="local"
        )
        return issued.text

    async def enrolled(self) -> Identity:
        return await enrol(self.replica.target, await self.token())

    async def create_run(self, **changes) -> UUID:
        run = self.replica.ids()
        await self.execute(self.create_command(run, **changes))
        return run

    def create_command(self, run: UUID, **changes) -> CreateRun:
        values = {
            "run": run,
            "deployment": self.deployment,
            "deployment_version": 1,
            "parameters": Blob.of(b'{"n": 1}'),
            "labels": Blob.of(json.dumps({"name": "a run", "tags": []}).encode()),
        }
        return CreateRun(**(values | changes))

    async def row(self, sql: str, *parameters):
        """One row seen by the superuser."""
        rows = await self.rows(sql, *parameters)
        return rows[0] if rows else None

    async def rows(self, sql: str, *parameters) -> list[tuple]:
        async with self.replica.database.transaction(Role.APP, ws=self.ws) as connection:
            cursor = await connection.execute(sql, parameters)
            return await cursor.fetchall()

    async def status(self, run: UUID) -> str:
        return (await self.row("SELECT status FROM run WHERE run = %s", run))[0]

    async def session_status(self, session: UUID) -> str | None:
        row = await self.row("SELECT status FROM session WHERE session = %s", session)
        return row[0] if row else None

    async def until_status(self, run: UUID, status: str) -> None:
        async def reached() -> bool:
            return await self.status(run) == status

        await until_async(reached, what=f"run {status}")


@asynccontextmanager
async def new_world(
    replica: Replica, *, name: str = "team", pool_slots: int = 0, **spec
) -> AsyncIterator[World]:
    workspace = await replica.log.found(name, actor="test")
    pool, deployment = replica.ids(), replica.ids()
    values = {
        "name": "inventory",
        "flow": "inventory",
        "pool": pool,
        "environment": "default",
        "entrypoint": "flows:inventory",
        "code_hash": "c0de",
        "parameter_schema": Blob.of(b"{}"),
        "defaults": Blob.of(b"{}"),
        "description": "",
        "tags": (),
        "retries": 0,
        "retry_delay_ms": 0,
        "on_lost": OnLost.RETRY,
        "cancel_grace_ms": 1000,
        "kill_grace_ms": 1000,
    }
    world = World(replica, workspace.ws, pool, deployment, DeploymentDeployed(**(values | spec)))
    await world.execute(CreatePool(pool, "local", ("id", "name"), pool_slots))
    await world.execute(Deploy(deployment, world.spec))
    try:
        yield world
    finally:
        for agent in world.agents:
            await agent.close()


async def until(condition: Callable[[], object], *, what: str, patience: float = PATIENCE) -> None:
    """Wait until something in this process is so."""

    async def check() -> bool:
        return bool(condition())

    await until_async(check, what=what, patience=patience)


async def until_async(
    condition: Callable[[], Awaitable[object]], *, what: str, patience: float = PATIENCE
) -> None:
    """Wait until something is so, looking again and again: for what announces itself to nobody, such as rows."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while not await condition():
        if loop.time() > deadline:
            raise AssertionError(f"not within {patience:g} s: {what}")
        await asyncio.sleep(0.01)
