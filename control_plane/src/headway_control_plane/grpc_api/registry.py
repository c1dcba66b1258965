"""Which agents' streams end in this process, and which runs they execute."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import Protocol
from uuid import UUID

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.grpc_api.auth import AgentIdentity
from headway_control_plane.grpc_api.ledger import Ledger

SessionKey = tuple[int, UUID]  # agents choose their session ids, so an id alone names nothing


class Cut(Enum):
    """Why a stream is cut from outside of it."""

    REPLACED = auto()  # the agent opened a new stream for the same session
    SUPERSEDED = auto()  # the agent opened another session
    SESSION_OVER = auto()  # the session was closed; the agent needs a new one
    MOVED = auto()  # another replica has the session now
    REVOKED = auto()


class LiveSession(Protocol):
    """A session whose stream ends here."""

    @property
    def key(self) -> SessionKey: ...

    @property
    def identity(self) -> AgentIdentity: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def welcomed(self) -> bool:
        """Whether Welcome was queued; before, nothing is delivered, because the rows are read after."""
        ...

    def deliver(self, message: pb.SessionResponse) -> None: ...

    def forget(self, run: UUID) -> None:
        """Tell the agent that a run has ended, behind the answer to what it reported last."""
        ...

    def cut(self, why: Cut) -> None: ...


class Registry:
    """Live sessions by key, by agent, and by the run that they execute."""

    def __init__(self) -> None:
        self._sessions: dict[SessionKey, LiveSession] = {}
        self._runs: dict[tuple[int, UUID], SessionKey] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(tuple(self._sessions.values()))

    def add(self, live: LiveSession) -> bool:
        """Enter a session; a stream that it had before is cut. False when the session is another agent's."""
        before = self._sessions.get(live.key)
        if before is not None and before.identity.agent != live.identity.agent:
            return False
        self._sessions[live.key] = live
        if before is not None:
            before.cut(Cut.REPLACED)
        return True

    def remove(self, live: LiveSession) -> None:
        """Take a session out, unless a newer stream has taken its place."""
        if self._sessions.get(live.key) is not live:
            return
        del self._sessions[live.key]
        for run in live.ledger.open:
            self._runs.pop((live.key[0], run), None)

    def get(self, key: SessionKey) -> LiveSession | None:
        """The session, once it was welcomed."""
        live = self._sessions.get(key)
        return live if live is not None and live.welcomed else None

    def of_agent(self, ws: int, agent: UUID) -> list[LiveSession]:
        return [live for live in self if (live.key[0], live.identity.agent) == (ws, agent)]

    def executes(self, live: LiveSession, run: UUID) -> None:
        self._runs[live.key[0], run] = live.key

    def executing(self, ws: int, run: UUID) -> LiveSession | None:
        """The session here that executes the run."""
        key = self._runs.get((ws, run))
        return self._sessions.get(key) if key is not None else None

    def ended(self, ws: int, run: UUID) -> LiveSession | None:
        """The run's attempt is over; return the session that executed it here."""
        key = self._runs.pop((ws, run), None)
        live = self._sessions.get(key) if key is not None else None
        if live is not None:
            live.ledger.close(run)
        return live
