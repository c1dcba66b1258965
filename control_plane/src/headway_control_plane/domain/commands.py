"""What can be wished of a workspace. Each command names the streams whose states its decision reads; it touches one workspace alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.run.events import Waiting
from headway_control_plane.domain.run.state import DeadlineKind, Fork
from headway_control_plane.domain.streams import NO_BLOB, Blob, Stream, StreamKind
from headway_control_plane.domain.variables.commands import (
    SetVariable,
    UnsetVariable,
    WriteVariable,
)


@dataclass(frozen=True, slots=True)
class CreatePool:
    pool: UUID
    name: str
    permits: tuple[str, ...]
    slots: int = 0

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.POOL, self.pool),)


@dataclass(frozen=True, slots=True)
class ChangePool:
    pool: UUID
    permits: tuple[str, ...]
    slots: int

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.POOL, self.pool),)


@dataclass(frozen=True, slots=True)
class Deploy:
    deployment: UUID
    spec: DeploymentDeployed

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (
            Stream(StreamKind.DEPLOYMENT, self.deployment),
            Stream(StreamKind.POOL, self.spec.pool),
        )


@dataclass(frozen=True, slots=True)
class EnrolAgent:
    agent: UUID
    name: str
    pool: UUID
    public_key: bytes

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.AGENT, self.agent), Stream(StreamKind.POOL, self.pool))


@dataclass(frozen=True, slots=True)
class RevokeAgent:
    agent: UUID
    reason: str

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.AGENT, self.agent),)


@dataclass(frozen=True, slots=True)
class OpenSession:
    session: UUID
    agent: UUID
    replica: UUID
    host: str
    agent_version: str
    slots: int
    incarnation: int = 0

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.SESSION, self.session), Stream(StreamKind.AGENT, self.agent))


@dataclass(frozen=True, slots=True)
class LoseSession:
    """Refused while the lease still runs."""

    session: UUID

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.SESSION, self.session),)


@dataclass(frozen=True, slots=True)
class ResumeSession:
    session: UUID
    replica: UUID
    slots: int

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.SESSION, self.session),)


@dataclass(frozen=True, slots=True)
class CloseSession:
    session: UUID
    reason: str
    handover: bool = False

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.SESSION, self.session),)


@dataclass(frozen=True, slots=True)
class CreateRun:
    """`deployment_version`: what the parameters were validated against. `due_at` None: now. `forked_from` and `fork`: made from
    another run, with what of its journal counts no more. `parent_run` and `parent_call`: whose call asked for it.
    """

    run: UUID
    deployment: UUID
    deployment_version: int
    parameters: Blob
    labels: Blob
    priority: int = 3
    due_at: datetime | None = None
    forked_from: UUID | None = None
    fork: Fork | None = None
    parent_run: UUID | None = None
    parent_call: bytes = b""

    @property
    def needs(self) -> tuple[Stream, ...]:
        own = (Stream(StreamKind.RUN, self.run), Stream(StreamKind.DEPLOYMENT, self.deployment))
        # The parent too: the same flush may end this run, which answers it.
        others = [run for run in (self.forked_from, self.parent_run) if run is not None]
        return (*own, *(Stream(StreamKind.RUN, run) for run in others))


@dataclass(frozen=True, slots=True)
class GrantRun:
    """`instead_of`: the run whose attempt, ended before in the same flush, leaves its slot in the session."""

    run: UUID
    session: UUID
    shard_epoch: int
    instead_of: UUID | None = None

    @property
    def needs(self) -> tuple[Stream, ...]:
        own = (Stream(StreamKind.RUN, self.run), Stream(StreamKind.SESSION, self.session))
        return (*own, Stream(StreamKind.RUN, self.instead_of)) if self.instead_of else own


@dataclass(frozen=True, slots=True)
class ReattachAttempt:
    """The agent of `session` still holds this attempt."""

    run: UUID
    fence: int
    session: UUID

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.RUN, self.run), Stream(StreamKind.SESSION, self.session))


@dataclass(frozen=True, slots=True)
class RegrantAttempt:
    """The agent of `session` holds an attempt whose grant the log has lost."""

    run: UUID
    fence: int
    session: UUID

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.RUN, self.run), Stream(StreamKind.SESSION, self.session))


@dataclass(frozen=True, slots=True)
class Heard:
    """Where an agent said something: in a stream of this session that ends at this replica."""

    session: UUID
    replica: UUID


@dataclass(frozen=True, slots=True)
class LoseAttempt:
    """`session`: whose loss this is; an attempt that another session took up meanwhile stays open.

    `heard`: the agent's own word for it, which no longer counts once it speaks elsewhere: a stream that was given up can be heard late.
    """

    run: UUID
    fence: int
    cause: str = "lost"
    session: UUID | None = None
    heard: Heard | None = None

    @property
    def needs(self) -> tuple[Stream, ...]:
        run = Stream(StreamKind.RUN, self.run)
        return (run, Stream(StreamKind.SESSION, self.heard.session)) if self.heard else (run,)


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Carries no expected version: a wish to end holds whatever happened meanwhile."""

    run: UUID
    reason: str = ""

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.RUN, self.run),)


@dataclass(frozen=True, slots=True)
class ReleaseRun:
    """Lets a paused run go on. `anywhere`: also without the agent that has its journal, so that everything is executed again."""

    run: UUID
    anywhere: bool = False

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.RUN, self.run),)


@dataclass(frozen=True, slots=True)
class AnswerRun:
    """Gives a wait of the run its answer, JSON."""

    run: UUID
    call: bytes
    value: Blob

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.RUN, self.run),)


@dataclass(frozen=True, slots=True)
class DeliverEvent:
    """From the fact EventEmitted: answers every wait of this topic. The runs that may have one are found by the flush."""

    topic: bytes
    value: Blob

    @property
    def needs(self) -> tuple[Stream, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class FireDeadline:
    """The sweeper saw this deadline pass. Does nothing when the stream has moved on.

    `session`: that holds the run of a start deadline, which counts for an agent that could have spoken.
    """

    stream: Stream
    kind: DeadlineKind
    due_at: datetime
    session: UUID | None = None

    @property
    def needs(self) -> tuple[Stream, ...]:
        if self.session is None:
            return (self.stream,)
        return self.stream, Stream(StreamKind.SESSION, self.session)


@dataclass(frozen=True, slots=True)
class AttemptBegan:
    """From the fact AttemptStarted."""

    run: UUID
    fence: int

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.RUN, self.run),)


@dataclass(frozen=True, slots=True)
class AttemptOver:
    """From the fact AttemptExited. `outcome`: completed, failed, crashed, cancelled, refused, suspended (then with `waits`)."""

    run: UUID
    fence: int
    outcome: str
    cause: str = ""
    detail: str = ""
    error_class: str = ""
    error_text: Blob = NO_BLOB
    result_digest: bytes = b""
    result_size_bytes: int = 0
    waits: tuple[Waiting, ...] = ()

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.RUN, self.run),)

    @property
    def asked(self) -> tuple[tuple[bytes, UUID], ...]:
        """The calls that wait for runs, and the runs that they name: what was made for them is needed too."""
        return tuple((w.call, w.run or self.run) for w in self.waits if w.kind == "run")


@dataclass(frozen=True, slots=True)
class AttemptAsked:
    """From the fact WaitStarted: the attempt waits for a person and keeps its process."""

    run: UUID
    fence: int
    wait: Waiting

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (Stream(StreamKind.RUN, self.run),)


Command = (
    CreatePool
    | ChangePool
    | Deploy
    | EnrolAgent
    | RevokeAgent
    | OpenSession
    | LoseSession
    | ResumeSession
    | CloseSession
    | CreateRun
    | GrantRun
    | ReattachAttempt
    | RegrantAttempt
    | LoseAttempt
    | CancelRun
    | ReleaseRun
    | AnswerRun
    | DeliverEvent
    | FireDeadline
    | AttemptBegan
    | AttemptOver
    | AttemptAsked
    | SetVariable
    | UnsetVariable
    | WriteVariable
)
