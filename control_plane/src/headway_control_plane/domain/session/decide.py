"""Decides what becomes of an agent session."""

from __future__ import annotations

from headway_control_plane.domain.commands import (
    CloseSession,
    LoseSession,
    OpenSession,
    ResumeSession,
)
from headway_control_plane.domain.errors import InvalidState, NotFound
from headway_control_plane.domain.session.events import (
    SessionClosed,
    SessionLost,
    SessionOpened,
    SessionResumed,
)
from headway_control_plane.domain.session.state import SessionState, SessionStatus
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Context, Decided, Stream, StreamKind


def open_session(command: OpenSession, states: States, context: Context) -> list[Decided]:
    """Opens it; a repeated command finds it open and appends nothing."""
    del context
    agent = states.agent(command.agent)
    if agent is None or agent.revoked_at is not None:
        raise NotFound(
            "This agent is not enrolled here, or was revoked. Enrol it again with a new token."
        )
    before = states.session(command.session)
    if before is not None:
        if before.status is SessionStatus.CLOSED or before.agent != command.agent:
            raise InvalidState("This session id was used before. Open the session under a new id.")
        return resume_session(
            ResumeSession(command.session, command.replica, command.slots), states
        )
    opened = SessionOpened(
        agent=command.agent,
        pool=agent.pool,
        host=command.host,
        agent_version=command.agent_version,
        slots=command.slots,
        replica=command.replica,
        incarnation=command.incarnation,
    )
    return [Decided(Stream(StreamKind.SESSION, command.session), opened)]


def lose_session(command: LoseSession, states: States, context: Context) -> list[Decided]:
    """The lease ran out by the database's clock. A renewal that came first wins."""
    session = _present(states.session(command.session))
    if session.status is not SessionStatus.OPEN:
        return []
    if session.expires_at is not None and session.expires_at > context.now:
        raise InvalidState("The session was renewed meanwhile.")
    return [Decided(Stream(StreamKind.SESSION, command.session), SessionLost())]


def resume_session(command: ResumeSession, states: States) -> list[Decided]:
    """Back with the same id: from lost, from another replica, or with other slots."""
    session = _present(states.session(command.session))
    if session.status is SessionStatus.CLOSED:
        raise InvalidState("The session was closed. Open a new one.")
    same = (session.replica, session.slots) == (command.replica, command.slots)
    if session.status is SessionStatus.OPEN and same:
        return []
    return [
        Decided(
            Stream(StreamKind.SESSION, command.session),
            SessionResumed(command.replica, command.slots),
        )
    ]


def close_session(command: CloseSession, states: States) -> list[Decided]:
    """Ends it for good. Closing a closed one appends nothing, but for the end of a handover that nobody took up."""
    session = _present(states.session(command.session))
    if session.status is SessionStatus.CLOSED and (command.handover or not session.handover):
        return []
    return [
        Decided(
            Stream(StreamKind.SESSION, command.session),
            SessionClosed(command.reason, command.handover),
        )
    ]


def _present(session: SessionState | None) -> SessionState:
    if session is None:
        raise NotFound("There is no such session in this workspace.")
    return session
