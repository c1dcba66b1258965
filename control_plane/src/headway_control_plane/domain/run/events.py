"""What can happen to a run. The stream `run/<id>` holds its life cycle alone; what its code does lies in its attempts' streams."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headway_control_plane.domain.streams import NO_BLOB, Blob


class Isolation(StrEnum):
    """Whether runs share a process."""

    PROCESS = "process"
    REUSE = "reuse"


class OnLost(StrEnum):
    """What becomes of a run whose agent is gone for good."""

    RETRY = "retry"
    HOLD = "hold"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class RunCreated:
    """Accepted. Carries all that later decisions and a grant need, so that a changed deployment does not change a run."""

    deployment: UUID
    pool: UUID
    flow: str
    labels: Blob  # JSON {"name": str, "tags": [str]}: words of users, erasable
    parameters: Blob  # JSON object
    environment: str
    entrypoint: str
    code_hash: str
    priority: int  # 1 (first) to 5
    due_at: datetime
    retries: int
    retry_delay_ms: int
    on_lost: OnLost
    cancel_grace_ms: int
    kill_grace_ms: int
    # What follows stands in runs that were made from another run alone; see adr/0003.
    home: UUID | None = None  # the agent that has the journal
    forked_from: UUID | None = None
    verb: str = ""
    from_call: bytes = b""
    around: tuple[bytes, ...] = ()
    cut_at: datetime | None = None
    isolation: Isolation | None = None  # None: a process of its own
    max_runs_per_process: int = 0
    max_memory_mb: int = 0
    # What follows stands in runs that another run asked for: that run, and its call; see adr/0006.
    parent_run: UUID | None = None
    parent_call: bytes = b""
    flow_version: str = ""  # of the deployment that it was made with


@dataclass(frozen=True, slots=True)
class RunGranted:
    """Given to a session. The only event that raises the fence."""

    fence: int
    session: UUID
    agent: UUID


@dataclass(frozen=True, slots=True)
class RunReattached:
    """The agent came back under a new session and still holds the attempt."""

    fence: int
    session: UUID


@dataclass(frozen=True, slots=True)
class RunStarted:
    """User code runs."""

    fence: int


@dataclass(frozen=True, slots=True)
class RunRescheduled:
    """Waits for another grant. `cause`: failed, crashed (both count as a try), died, lost, start deadline; home away and
    released give up the agent with its journal.
    """

    fence: int
    cause: str
    due_at: datetime
    error_class: str = ""
    error_text: Blob = NO_BLOB


@dataclass(frozen=True, slots=True)
class RunPaused:
    """Waits for a person. `reason`: lost (its agent), died (its process)."""

    fence: int
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that a flow waits for. `kind`: sleep, input, event, run; `until` None: no end of its own."""

    call: bytes
    kind: str
    name: str
    topic: bytes  # of an event: digest of its name and key
    until: datetime | None
    request: bytes  # digest of what a person is asked; empty when withheld
    run: UUID | None = None  # that is waited for


@dataclass(frozen=True, slots=True)
class RunSuspended:
    """The flow waits without process and slot. `reason`: sleeping, input, event, run. `home` has its journal."""

    fence: int
    reason: str
    home: UUID
    waits: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class RunAsked:
    """The flow asks a person and keeps its process: the run stays as it is, and these waits can be answered."""

    fence: int
    waits: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class RunAnswered:
    """A wait got its answer, JSON; the event's actor gave it. It schedules a suspended run at `due_at`, which is later than now
    where the run waits for several others.
    """

    call: bytes
    value: Blob
    due_at: datetime


@dataclass(frozen=True, slots=True)
class RunResumed:
    """A person or the end of a wait let a paused run go on."""

    due_at: datetime


@dataclass(frozen=True, slots=True)
class RunCancelRequested:
    """From here on no new grant; an open attempt is told to end."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunCompleted:
    fence: int
    result_digest: bytes = b""
    result_size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RunFailed:
    """`cause`: error, refused, lost, held too long."""

    fence: int
    cause: str
    error_class: str = ""
    error_text: Blob = NO_BLOB


@dataclass(frozen=True, slots=True)
class RunCrashed:
    """The process ended without the flow having ended. `cause` is AttemptExited's; `detail` is exit code or signal, as words."""

    fence: int
    cause: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """`evidence`: never started, death seen, death unconfirmed."""

    fence: int
    evidence: str


RunEvent = (
    RunCreated
    | RunGranted
    | RunReattached
    | RunStarted
    | RunRescheduled
    | RunPaused
    | RunSuspended
    | RunAsked
    | RunAnswered
    | RunResumed
    | RunCancelRequested
    | RunCompleted
    | RunFailed
    | RunCrashed
    | RunCancelled
)
