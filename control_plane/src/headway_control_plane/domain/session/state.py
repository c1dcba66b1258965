"""An agent session, folded. `expires_at`, the lease, is renewed beside the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headway_control_plane.domain.run.state import Deadline


class SessionStatus(StrEnum):
    OPEN = "open"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SessionState:
    session: UUID
    version: int
    status: SessionStatus
    agent: UUID
    pool: UUID
    replica: UUID
    host: str
    agent_version: str
    slots: int
    opened_at: datetime
    lost_at: datetime | None
    closed_at: datetime | None
    closed_reason: str
    handover: bool
    deadline: Deadline | None
    incarnation: int = 0
    resumed_at: datetime | None = None  # from lost, or from another replica
    expires_at: datetime | None = None  # the lease, read with the row, never folded
