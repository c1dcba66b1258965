"""Folds a session's events."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from headway_control_plane.domain.errors import IllegalTransition
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.run.state import Deadline, DeadlineKind
from headway_control_plane.domain.session.events import (
    SessionClosed,
    SessionEvent,
    SessionLost,
    SessionOpened,
    SessionResumed,
)
from headway_control_plane.domain.session.state import SessionState, SessionStatus


def evolve_session(
    state: SessionState | None, session: UUID, event: SessionEvent, at: datetime, policy: Policy
) -> SessionState:
    """The next state.

    Raises:
        IllegalTransition: a session that was never opened, or one that was closed for good.
    """
    if isinstance(event, SessionOpened):
        return _opened(session, event, at, policy)
    if state is None:
        raise IllegalTransition(f"{type(event).__name__} on a session that was never opened")
    moved = replace(state, version=state.version + 1, deadline=None)
    reassign = Deadline(DeadlineKind.REASSIGN, at + policy.reassign_after)
    match event:
        case SessionLost():
            return replace(moved, status=SessionStatus.LOST, lost_at=at, deadline=reassign)
        case SessionResumed():
            if state.status is SessionStatus.CLOSED:
                raise IllegalTransition("a closed session is never resumed")
            return replace(
                moved,
                status=SessionStatus.OPEN,
                lost_at=None,
                resumed_at=_resumed_at(state, event, at),
                replica=event.replica,
                slots=event.slots,
                expires_at=at + policy.lease_ttl,
            )
        case SessionClosed():
            return replace(
                moved,
                status=SessionStatus.CLOSED,
                closed_at=at,
                closed_reason=event.reason,
                handover=event.handover,
                expires_at=None,
                deadline=reassign if event.handover else None,
            )
        case _:
            assert_never(event)


def _resumed_at(state: SessionState, event: SessionResumed, at: datetime) -> datetime | None:
    """A session that only changed its slots was there all the time."""
    was_here = (state.status, state.replica) == (SessionStatus.OPEN, event.replica)
    return state.resumed_at if was_here else at


def _opened(session: UUID, event: SessionOpened, at: datetime, policy: Policy) -> SessionState:
    return SessionState(
        session=session,
        version=1,
        status=SessionStatus.OPEN,
        agent=event.agent,
        pool=event.pool,
        replica=event.replica,
        host=event.host,
        agent_version=event.agent_version,
        slots=event.slots,
        incarnation=event.incarnation,
        opened_at=at,
        lost_at=None,
        closed_at=None,
        closed_reason="",
        handover=False,
        deadline=None,
        expires_at=at + policy.lease_ttl,
    )
