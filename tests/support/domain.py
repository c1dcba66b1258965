"""A workspace in memory that decides and folds as a flush does: given events, when a command, then events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from headway_control_plane.domain.commands import (
    AttemptBegan,
    Command,
    CreatePool,
    CreateRun,
    Deploy,
    EnrolAgent,
    GrantRun,
    OpenSession,
)
from headway_control_plane.domain.decide import decide
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.run.events import OnLost
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Blob, Context, Decided, Stream, StreamKind

POOL, DEPLOYMENT, AGENT, OTHER_AGENT, SESSION, OTHER_SESSION, RUN, REPLICA = (
    UUID(int=n) for n in range(1, 9)
)
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def deployed(**changes) -> DeploymentDeployed:
    spec = DeploymentDeployed(
        name="etl",
        flow="etl",
        pool=POOL,
        environment="default",
        entrypoint="etl:etl",
        code_hash="c0de",
        parameter_schema=Blob.of(b"{}"),
        defaults=Blob.of(b"{}"),
        description="",
        tags=(),
        retries=0,
        retry_delay_ms=0,
        on_lost=OnLost.RETRY,
        cancel_grace_ms=5000,
        kill_grace_ms=5000,
    )
    return replace(spec, **changes)


class Workspace:
    """`when(command)` returns the events that a flush would append, having applied them."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.states = States(shard_epoch=1)
        self.now = START
        self.policy = policy or Policy()
        self.log: list[Decided] = []

    def when(self, command: Command) -> list[object]:
        context = Context(now=self.now, policy=self.policy)
        decided = decide(command, self.states, context)
        for one in decided:
            self.states.evolve(one, self.now, self.policy)
        self.log += decided
        return [one.event for one in decided]

    def later(self, **duration) -> None:
        self.now += timedelta(**duration)

    def renewed(self, session: UUID = SESSION) -> None:
        """Renew a lease, which is done beside the log."""
        state = self.states.session(session)
        assert state is not None
        lease = replace(state, expires_at=self.now + self.policy.lease_ttl)
        self.states.put(Stream(StreamKind.SESSION, session), lease)

    def ready(self, **spec) -> Workspace:
        """A pool, a deployment, an agent with an open session."""
        self.when(CreatePool(POOL, "default", ("id",)))
        self.when(Deploy(DEPLOYMENT, deployed(**spec)))
        self.when(EnrolAgent(AGENT, "one", POOL, b"k" * 32))
        self.when(EnrolAgent(OTHER_AGENT, "two", POOL, b"l" * 32))
        self.when(OpenSession(SESSION, AGENT, REPLICA, "host", "1", 4))
        return self

    def created(self, run: UUID = RUN, **changes) -> list[object]:
        labels = Blob.of(b'{"name": "first", "tags": ["a"]}')
        command = CreateRun(run, DEPLOYMENT, 1, Blob.of(b"{}"), labels)
        return self.when(replace(command, **changes))

    def running(self, **spec) -> Workspace:
        self.ready(**spec).created()
        self.when(GrantRun(RUN, SESSION, 1))
        self.when(AttemptBegan(RUN, 1))
        return self

    @property
    def run(self):
        return self.states.run(RUN)
