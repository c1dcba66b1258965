"""An agent's identity, folded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class AgentState:
    agent: UUID
    version: int
    name: str
    pool: UUID
    public_key: bytes
    enrolled_at: datetime
    revoked_at: datetime | None
