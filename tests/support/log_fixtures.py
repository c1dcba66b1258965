"""A log on a real database, and short ways to fill it."""

import hashlib
import itertools
import json
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.ports import (
    AttemptFacts,
    AttemptVerdict,
    Fact,
    FactsBatch,
    Workspace,
)
from headway_control_plane.clock import SystemClock
from headway_control_plane.db.pool import Database, PoolOptions
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.commands import (
    CreatePool,
    CreateRun,
    Deploy,
    EnrolAgent,
    GrantRun,
    OpenSession,
)
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.run.events import OnLost
from headway_control_plane.domain.streams import Blob
from headway_control_plane.ids import Uuid7Source
from headway_control_plane.log.committer import Committer
from headway_control_plane.log.waiting_line import Limits

ALL_ROLES = tuple(role for role in Role if role is not Role.OWNER)
NOW_US = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1_000_000)


@dataclass
class Fleet:
    """A workspace with a pool, a deployment, an agent and its open session."""

    log: Committer
    workspace: Workspace
    new_id: Callable[[], UUID]
    pool: UUID = field(init=False)
    deployment: UUID = field(init=False)
    agent: UUID = field(init=False)
    session: UUID = field(init=False)

    @property
    def ws(self) -> int:
        return self.workspace.ws

    async def set_up(self) -> "Fleet":
        self.pool, self.deployment = self.new_id(), self.new_id()
        self.agent = self.new_id()
        await self.execute(CreatePool(self.pool, "local", ("name",), 0))
        await self.execute(Deploy(self.deployment, self.spec()))
        await self.execute(EnrolAgent(self.agent, "agent", self.pool, b"k" * 32))
        self.session = await self.open_session()
        return self

    def spec(self, **changes) -> DeploymentDeployed:
        values = {
            "name": "inventory",
            "flow": "inventory",
            "pool": self.pool,
            "environment": "default",
            "entrypoint": "flows:inventory",
            "code_hash": "c0de",
            "parameter_schema": Blob.of(b"{}"),
            "defaults": Blob.of(b"{ }"),
            "description": 'quotes " and \\ and , and {}',
            "tags": ("nightly", 'a "b" \\ {c},', ""),
            "retries": 1,
            "retry_delay_ms": 0,
            "on_lost": OnLost.RETRY,
            "cancel_grace_ms": 1000,
            "kill_grace_ms": 1000,
        }
        return DeploymentDeployed(**(values | changes))

    async def execute(self, command, **options):
        return await self.log.execute(self.ws, command, actor="test", **options)

    async def open_session(self) -> UUID:
        session = self.new_id()
        await self.execute(OpenSession(session, self.agent, self.new_id(), "host", "0.1.0", 1000))
        return session

    async def create_run(self, **changes) -> UUID:
        run = self.new_id()
        await self.execute(self.create_command(run, **changes))
        return run

    def create_command(self, run: UUID, **changes) -> CreateRun:
        labels = Blob.of(json.dumps({"name": "a run", "tags": ["x", "y"]}).encode())
        values = {
            "run": run,
            "deployment": self.deployment,
            "deployment_version": 1,
            "parameters": Blob.of(b'{"n": 1}'),
            "labels": labels,
        }
        return CreateRun(**(values | changes))

    async def grant(self, run: UUID, session: UUID | None = None) -> None:
        await self.execute(GrantRun(run, session or self.session, shard_epoch=0))

    async def granted_run(self) -> UUID:
        run = await self.create_run()
        await self.grant(run)
        return run

    async def report(
        self,
        run: UUID,
        fence: int,
        first_seq: int,
        facts: Sequence[Fact],
        blobs: Sequence[Blob] = (),
    ) -> AttemptVerdict:
        result = await self.log.append_facts(
            self.ws,
            FactsBatch([AttemptFacts(run, fence, first_seq, facts, blobs)], f"agent/{self.agent}"),
        )
        return result.attempts[0]


def fact(message, at_us: int = NOW_US) -> Fact:
    return Fact(type(message).__name__, 1, at_us, message.SerializeToString())


def started() -> Fact:
    return fact(attempt_pb2.AttemptStarted(pid=1, python="3.11"))


def call_ended(n: int, **values) -> Fact:
    call = hashlib.sha256(n.to_bytes(8)).digest()[:16]
    outcome = attempt_pb2.CALL_OUTCOME_COMPLETED
    return fact(
        attempt_pb2.CallEnded(
            call=call, name="task", started_at_us=NOW_US, outcome=outcome, tries=1, **values
        )
    )


def calls(first: int, count: int) -> list[Fact]:
    return [call_ended(n) for n in range(first, first + count)]


def exited(outcome: int = attempt_pb2.ATTEMPT_OUTCOME_COMPLETED, **values) -> Fact:
    return fact(attempt_pb2.AttemptExited(outcome=outcome, **values))


def bad_fact() -> Fact:
    return Fact("CallEnded", 1, NOW_US, b"\xff\xff\xff")


def new_ids() -> Uuid7Source:
    return Uuid7Source(SystemClock(), os.urandom)


@asynccontextmanager
async def open_log(
    url: str, *, limits: Limits | None = None, lanes: int = 2, **options
) -> AsyncIterator[Committer]:
    """A committer with its own connections: one replica."""
    async with (
        Database(url, ALL_ROLES, PoolOptions(**{"max_size": 4} | options)) as database,
        Committer(
            database,
            clock=SystemClock(),
            ids=new_ids(),
            entropy=os.urandom,
            random=random.Random(7).random,
            limits=limits,
            lanes=lanes,
        ) as committer,
    ):
        committer.database = database
        yield committer


_names = itertools.count(1)


async def new_fleet(log: Committer) -> Fleet:
    workspace = await log.found(f"workspace {next(_names)}", actor="test")
    return await Fleet(log, workspace, new_ids()).set_up()


@pytest.fixture
async def log(database) -> AsyncIterator[Committer]:
    async with open_log(database.url) as committer:
        yield committer


@pytest.fixture
async def fleet(log) -> Fleet:
    return await new_fleet(log)
