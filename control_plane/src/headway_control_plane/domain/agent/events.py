"""What can happen to an agent's identity."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class AgentEnrolled:
    """A single-use token was traded for an identity bound to this key (Ed25519, 32 bytes)."""

    name: str
    pool: UUID
    public_key: bytes


@dataclass(frozen=True, slots=True)
class AgentRevoked:
    reason: str


AgentEvent = AgentEnrolled | AgentRevoked
