"""What the log is made of, as values: streams, events in streams, content that may be erased."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from headway_control_plane.domain.policy import DEFAULT_POLICY, Policy

if TYPE_CHECKING:
    from uuid import UUID


class StreamKind(IntEnum):
    """The kinds of stream. Stored as numbers: never renumber, only add."""

    WORKSPACE = 1
    POOL = 2
    DEPLOYMENT = 3
    AGENT = 4
    SESSION = 5
    RUN = 6
    ATTEMPT = 7
    VARIABLES = 12


@dataclass(frozen=True, slots=True)
class Stream:
    """One thing's events, in order. `fence` tells an attempt of its run and is 0 for every other kind."""

    kind: StreamKind
    id: UUID
    fence: int = 0

    def __str__(self) -> str:
        name = f"{self.kind.name.lower()}/{self.id}"
        return f"{name}/{self.fence}" if self.kind is StreamKind.ATTEMPT else name


@dataclass(frozen=True, slots=True)
class Blob:
    """Content that can be erased later. An event keeps the digest alone; the bytes lie in the payload table.

    `content` is None once erased, and where a reader did not ask for it. Two blobs are equal when their digests are.
    """

    digest: bytes
    content: bytes | None = field(default=None, compare=False)

    @classmethod
    def of(cls, content: bytes) -> Blob:
        """The blob of these bytes (SHA-256)."""
        return cls(hashlib.sha256(content).digest(), content)


NO_BLOB = Blob(b"")


@dataclass(frozen=True, slots=True)
class Decided:
    """An event that a decider wants appended to a stream. `event` is one of the event dataclasses of `domain`."""

    stream: Stream
    event: Any


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds a command: who wants it, the database's time after the locks, what caused it."""

    now: datetime
    actor: str = "system"
    causation: UUID | None = None
    traceparent: str = ""
    policy: Policy = DEFAULT_POLICY
