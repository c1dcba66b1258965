"""A run, folded: exactly the row that decisions read (`run`), and its only open attempt (`attempt`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headway_control_plane.domain.run.events import Isolation, OnLost, Waiting


class RunStatus(StrEnum):
    """Everything finer is a reason."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"


TERMINAL = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CRASHED, RunStatus.CANCELLED}
)


class DeadlineKind(StrEnum):
    """What the sweeper does when a stream's deadline passes."""

    START = "start"  # granted, but user code did not begin in time
    CANCEL = "cancel"  # told to end, but no death was seen
    HOLD = "hold"  # paused (lost) and nobody decided
    REASSIGN = "reassign"  # a session is gone for good
    WAKE = "wake"  # a wait of a suspended run is over
    HOME = "home"  # scheduled, and the agent with its journal has not come


@dataclass(frozen=True, slots=True)
class Deadline:
    kind: DeadlineKind
    at: datetime


SUSPENDED_REASONS = frozenset({"sleeping", "input", "event", "run", "suspended"})


@dataclass(frozen=True, slots=True)
class Fork:
    """How a run was made from another: what of its journal counts no more."""

    verb: str  # resume, retry, rerun
    call: bytes  # that the verb names: it and all in it
    around: tuple[bytes, ...]  # the calls that contain it, themselves alone
    cut_at: datetime | None  # and all that began then or later


@dataclass(frozen=True, slots=True)
class RunState:
    """One run. `version` counts the events of its stream; `fence` the grants; `attempts_failed` those that count
    against `retries`.
    """

    run: UUID
    version: int
    status: RunStatus
    reason: str
    fence: int
    deployment: UUID
    pool: UUID
    flow: str
    name: str
    tags: tuple[str, ...]
    environment: str
    entrypoint: str
    code_hash: str
    parameters: bytes  # digest
    priority: int
    retries: int
    retry_delay_ms: int
    on_lost: OnLost
    cancel_grace_ms: int
    kill_grace_ms: int
    attempts_failed: int
    deaths: int  # attempts whose process died under them
    session: UUID | None  # of the open attempt
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error_class: str
    error_text: bytes  # digest
    result_digest: bytes
    deadline: Deadline | None
    home: UUID | None = (
        None  # the agent that has the journal: the only one that may be granted the run
    )
    waits: tuple[Waiting, ...] = ()  # of its newest suspension
    answers: tuple[tuple[bytes, bytes], ...] = ()  # call of a wait -> digest of what was answered
    forked_from: UUID | None = None
    fork: Fork | None = None
    isolation: Isolation | None = None
    max_runs_per_process: int = 0
    max_memory_mb: int = 0
    parent_run: UUID | None = None  # that asked for it
    parent_call: bytes = b""
    flow_version: str = ""

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def is_suspended(self) -> bool:
        return self.status is RunStatus.PAUSED and self.reason in SUSPENDED_REASONS


class AttemptStatus(StrEnum):
    GRANTED = "granted"  # not yet seen to run
    RUNNING = "running"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class AttemptState:
    """The guard of an attempt's facts. `last_seq` is the newest fact in the log; an attempt that is not the run's newest is fenced."""

    run: UUID
    fence: int
    status: AttemptStatus
    session: UUID
    agent: UUID
    last_seq: int
    granted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str  # of AttemptExited, or lost, death unconfirmed; empty while open
    cancel: bool  # the agent must end it

    @property
    def is_open(self) -> bool:
        return self.status is not AttemptStatus.CLOSED
