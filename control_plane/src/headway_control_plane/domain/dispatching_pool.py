"""What the dispatcher's core holds of one pool: who waits, who takes work, what people were told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from headway_control_plane.domain.dispatching_words import RunWaits


@dataclass(slots=True)
class Session:
    """A session, and what it holds."""

    slots: int
    up: bool
    agent: UUID | None = None
    held: set[UUID] = field(default_factory=set)

    @property
    def free(self) -> int:
        return self.slots - len(self.held) if self.up else 0


@dataclass(slots=True)
class Pool:
    """One pool of one workspace. `queues` holds run ids in order of arrival; an id that is no longer in `waiting` is dropped when met.
    Runs with a home have a queue for each home.
    """

    name: str = ""
    slots: int = 0
    waiting: dict[UUID, RunWaits] = field(default_factory=dict)
    queues: dict[tuple[int, UUID], deque[UUID]] = field(default_factory=dict)
    sessions: dict[UUID, Session] = field(default_factory=dict)
    held: set[UUID] = field(default_factory=set)
    served: dict[UUID, int] = field(default_factory=dict)
    told: dict[UUID, tuple[str, str]] = field(default_factory=dict)
    told_reason: tuple[str, str] = ("", "")
    homed: dict[UUID, deque[UUID]] = field(default_factory=dict)
    told_away: frozenset[UUID] = frozenset()

    @property
    def free(self) -> int:
        by_sessions = sum(max(0, s.free) for s in self.sessions.values())
        return by_sessions if self.slots == 0 else min(by_sessions, self.slots - len(self.held))

    @property
    def has_news(self) -> bool:
        """Whether a waiting run was not yet told why, or told something that is no longer so."""
        return bool(self.waiting) and (
            len(self.told) < len(self.waiting)
            or self.told_reason != self.reason()
            or self.told_away != self.away()
        )

    def away(self) -> frozenset[UUID]:
        """Homes that runs wait for and that take no work now."""
        if not self.homed:
            return frozenset()
        return frozenset(self.homed).difference(s.agent for s in self.sessions.values() if s.up)

    def reason(self) -> tuple[str, str]:
        """Why the waiting runs of this pool wait: the same words everywhere."""
        up = [s for s in self.sessions.values() if s.up]
        if not up:
            return "no agent", self.name
        if self.slots and len(self.held) >= self.slots:
            return "pool at its limit", f"{self.name} {len(self.held)}/{self.slots}"
        total = sum(s.slots for s in up)
        if total == 0:
            return "agents are draining", self.name
        return "no free slot", f"{self.name} {sum(len(s.held) for s in up)}/{total}"
