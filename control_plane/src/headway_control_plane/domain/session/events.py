"""What can happen to an agent session. Renewals are no events."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """`incarnation` orders the agent's processes; 0: it does not count them."""

    agent: UUID
    pool: UUID
    host: str
    agent_version: str
    slots: int
    replica: UUID
    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The lease ran out. Nothing else follows from it until `reassign_after`."""


@dataclass(frozen=True, slots=True)
class SessionResumed:
    """A lost session, or one whose stream moved to another replica, is back with the same id."""

    replica: UUID
    slots: int


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """`reason`: goodbye, superseded, reassigned, revoked. `handover`: the agent said that it will be back for what it holds."""

    reason: str
    handover: bool = False


SessionEvent = SessionOpened | SessionLost | SessionResumed | SessionClosed
