"""What the dispatcher's core is told, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RunWaits:
    """A run is scheduled: new, rescheduled, or its grant was refused. `key` is what fairness is by, `home` the one agent that
    may get it.
    """

    ws: int
    run: UUID
    pool: UUID
    key: UUID
    priority: int
    due_at: datetime
    home: UUID | None = None


@dataclass(frozen=True, slots=True)
class RunGone:
    """A waiting run no longer waits for us: cancelled, taken up again by its agent, or given by another replica."""

    ws: int
    run: UUID


@dataclass(frozen=True, slots=True)
class AttemptOpened:
    """An attempt holds a slot of a session."""

    ws: int
    run: UUID
    pool: UUID
    session: UUID


@dataclass(frozen=True, slots=True)
class AttemptClosed:
    ws: int
    run: UUID
    pool: UUID
    session: UUID | None = None


@dataclass(frozen=True, slots=True)
class SessionUp:
    """A session takes work (opened, resumed, or other slots)."""

    ws: int
    session: UUID
    pool: UUID
    slots: int
    agent: UUID | None = None


@dataclass(frozen=True, slots=True)
class SessionDown:
    """Lost or closed: nothing is granted to it. What it holds goes on."""

    ws: int
    session: UUID
    pool: UUID


@dataclass(frozen=True, slots=True)
class PoolIs:
    """`slots` 0: as many as the sessions have."""

    ws: int
    pool: UUID
    name: str
    slots: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Everything of a workspace: before a reload, and when its shard went to another replica."""

    ws: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Input = (
    RunWaits
    | RunGone
    | AttemptOpened
    | AttemptClosed
    | SessionUp
    | SessionDown
    | PoolIs
    | Forget
    | Tick
)


@dataclass(frozen=True, slots=True)
class Grant:
    """`instead_of`: the run whose attempt, about to end there, leaves the slot."""

    ws: int
    run: UUID
    session: UUID
    instead_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """The reason of a waiting run changed; an empty one: it waits no longer."""

    ws: int
    run: UUID
    reason: str
    object: str


@dataclass(frozen=True, slots=True)
class Broken:
    """What is known of a workspace can't be worked with. It was forgotten; the others were served."""

    ws: int
    error: Exception


Effect = Grant | Wait | Broken
