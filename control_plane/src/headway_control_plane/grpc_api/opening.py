"""What a Hello leads to: the pure plan from what the agent says it holds and what the rows say, and the Welcome that follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.domain.commands import (
    CloseSession,
    Command,
    Heard,
    LoseAttempt,
    OpenSession,
    ReattachAttempt,
    RegrantAttempt,
)
from headway_control_plane.domain.run.state import TERMINAL, RunStatus
from headway_control_plane.grpc_api.wire import Attempt, Held, Hello, attempt_ref

AGENT_FORGOT = "agent forgot"
SUPERSEDED = "superseded"
_TAKEN_UP_AGAIN = frozenset({RunStatus.SCHEDULED, RunStatus.PAUSED})


@dataclass(frozen=True, slots=True)
class SessionRow:
    session: UUID
    status: str
    agent: UUID
    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt of this agent, as far as the log knows it; `newest` is the run's fence."""

    run: UUID
    fence: int
    status: str
    session: UUID
    last_seq: int
    outcome: str
    cancel: bool
    newest: int
    run_status: str
    last_line: int

    @property
    def key(self) -> Attempt:
        return self.run, self.fence

    @property
    def is_open(self) -> bool:
        return self.status != "closed"

    @property
    def can_return(self) -> bool:
        """Given up, but nobody else got the run yet."""
        lost = not self.is_open and self.outcome == "lost" and self.fence == self.newest
        return lost and self.run_status in _TAKEN_UP_AGAIN


@dataclass(frozen=True, slots=True)
class Opening:
    """Who says Hello, and where. `restored`: the log has once lost its newest events, grants perhaps among them."""

    hello: Hello
    agent: UUID
    replica: UUID
    restored: bool = False

    def takes_over(self, sessions: Iterable[SessionRow]) -> bool:
        """Whether attempts may come into this session that it did not have: nothing is granted to it before they have."""
        mine = [row for row in sessions if row.agent == self.agent]
        here = next((row.status for row in mine if row.session == self.hello.session), "")
        brings = bool(self.hello.held) or any(row.session != self.hello.session for row in mine)
        return brings and here != "open"

    def open_command(self, *, takes_work: bool = True) -> OpenSession:
        """Open the session; one that is there already is resumed by the same command."""
        hello = self.hello
        return OpenSession(
            hello.session,
            self.agent,
            self.replica,
            hello.host,
            hello.agent_version,
            hello.slots if takes_work else 0,
            hello.incarnation,
        )

    def is_late(self, sessions: Iterable[SessionRow]) -> bool:
        """Whether a later process of the agent is there: this Hello was long on its way, or its state directory is a copy."""
        mine = self.hello.incarnation
        return any(
            0 < mine < row.incarnation and row.agent == self.agent and row.status != "closed"
            for row in sessions
        )


def settle(
    opening: Opening, sessions: Iterable[SessionRow], attempts: Iterable[AttemptRow]
) -> list[list[Command]]:
    """The commands that follow an opened session, in stages; inside a stage order does not matter.

    What the agent holds is attached to this session before its older sessions are closed. What it was given and never began comes along,
    to be assigned again: STARTING is on its disk before anything is executed. What it began under an older session and no longer
    knows is lost, and only then, so that it is not given to that session once more. A process, which is what a session is, forgets
    nothing: where this very session has reported on an attempt, a Hello without it was said before that and came late.

    An attempt that the log does not know was granted by events that it lost. Where its run still waits, it is granted again as it was.
    """
    session = opening.hello.session
    held = {item.attempt: item for item in opening.hello.held}
    heard = Heard(session, opening.replica)
    attempts = list(attempts)
    reattach: list[Command] = []
    if opening.restored:
        known = {row.key for row in attempts}
        newest = {run: fence for run, fence in sorted(held) if (run, fence) not in known}
        reattach += [RegrantAttempt(run, fence, session) for run, fence in newest.items()]
    lose: list[Command] = []
    for row in attempts:
        item = held.get(row.key)
        if row.is_open and item is None and row.last_seq > 0:
            if row.session != session:
                lose.append(LoseAttempt(row.run, row.fence, AGENT_FORGOT, heard=heard))
        elif (
            row.session != session
            if row.is_open
            else item is not None and row.can_return and _has_more(item, row)
        ):
            reattach.append(ReattachAttempt(row.run, row.fence, session))
    close: list[Command] = [
        CloseSession(row.session, SUPERSEDED)
        for row in sessions
        if row.session != session and row.agent == opening.agent
    ]
    return [stage for stage in (reattach, close, lose) if stage]


def resumes(opening: Opening, attempts: Sequence[AttemptRow]) -> list[pb.Resume]:
    """Where the agent goes on with each attempt that it holds."""
    rows = {row.key: row for row in attempts}
    return [
        _resume(item, rows.get(item.attempt), opening.hello.session) for item in opening.hello.held
    ]


def forgettable(opening: Opening, attempts: Iterable[AttemptRow]) -> list[UUID]:
    """Runs that have ended and of which nothing the agent holds is still to come."""
    held = {item.attempt: item for item in opening.hello.held}
    ended = []
    for row in attempts:
        item = held.get(row.key)
        if item is not None and row.run_status in TERMINAL and not _has_more(item, row):
            ended.append(row.run)
    return ended


def _has_more(item: Held, row: AttemptRow) -> bool:
    return item.alive or item.last_seq > row.last_seq


def _resume(item: Held, row: AttemptRow | None, session: UUID) -> pb.Resume:
    ref = attempt_ref(item.attempt)
    if row is None:
        return pb.Resume(attempt=ref, verdict=pb.VERDICT_UNKNOWN)
    ours = row.is_open and row.fence == row.newest and row.session == session
    done = not row.is_open and not _has_more(item, row)
    return pb.Resume(
        attempt=ref,
        verdict=pb.VERDICT_OK if ours or done else pb.VERDICT_FENCED,
        last_seq=row.last_seq,
        last_line=row.last_line,
        cancel=row.cancel and row.is_open,
    )
