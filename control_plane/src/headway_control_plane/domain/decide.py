"""One door to all deciders: a command, the states it needs, its context; out come events, or a refusal."""

from __future__ import annotations

from typing import assert_never

from headway_control_plane.domain.agent.events import AgentEnrolled, AgentRevoked
from headway_control_plane.domain.commands import (
    AnswerRun,
    AttemptAsked,
    AttemptBegan,
    AttemptOver,
    CancelRun,
    ChangePool,
    CloseSession,
    Command,
    CreatePool,
    CreateRun,
    DeliverEvent,
    Deploy,
    EnrolAgent,
    FireDeadline,
    GrantRun,
    LoseAttempt,
    LoseSession,
    OpenSession,
    ReattachAttempt,
    RegrantAttempt,
    ReleaseRun,
    ResumeSession,
    RevokeAgent,
)
from headway_control_plane.domain.errors import AlreadyExists, InvalidArgument, NotFound
from headway_control_plane.domain.pool.events import PoolChanged, PoolCreated
from headway_control_plane.domain.run import children, waits
from headway_control_plane.domain.run import decide as run
from headway_control_plane.domain.session import decide as session
from headway_control_plane.domain.session.state import SessionStatus
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Context, Decided, Stream, StreamKind
from headway_control_plane.domain.variables import decide as variables
from headway_control_plane.domain.variables.commands import (
    SetVariable,
    UnsetVariable,
    WriteVariable,
)


def decide(command: Command, states: States, context: Context) -> list[Decided]:
    """The events that the command leads to, in order; none when it was carried out before.

    Raises:
        Refused: a subclass says why; nothing is to be appended.
    """
    decided = _decide(command, states, context)
    return [*decided, *children.answers_to_parents(decided, states, context)]


def _decide(command: Command, states: States, context: Context) -> list[Decided]:
    match command:
        case CreateRun():
            return run.create_run(command, states, context)
        case GrantRun():
            return run.grant_run(command, states, context)
        case ReattachAttempt():
            return run.reattach_attempt(command, states, context)
        case RegrantAttempt():
            return run.regrant_attempt(command, states, context)
        case LoseAttempt():
            return run.lose_attempt(command, states, context)
        case CancelRun():
            return run.cancel_run(command, states)
        case ReleaseRun():
            return run.release_run(command, states, context)
        case AnswerRun():
            return waits.answer_run(command, states, context)
        case DeliverEvent():
            return waits.deliver_event(command, states, context)
        case AttemptBegan():
            return run.attempt_began(command, states)
        case AttemptOver():
            return run.attempt_over(command, states, context)
        case AttemptAsked():
            return waits.attempt_asked(command, states)
        case FireDeadline():
            return _fire(command, states, context)
        case OpenSession():
            return session.open_session(command, states, context)
        case LoseSession():
            return session.lose_session(command, states, context)
        case ResumeSession():
            return session.resume_session(command, states)
        case CloseSession():
            return session.close_session(command, states)
        case SetVariable():
            return variables.set_variable(command, states)
        case UnsetVariable():
            return variables.unset_variable(command, states)
        case WriteVariable():
            return variables.write_variable(command, states)
        case _:
            return _declare(command, states)


def _declare(
    command: CreatePool | ChangePool | Deploy | EnrolAgent | RevokeAgent, states: States
) -> list[Decided]:
    match command:
        case CreatePool():
            return _create_pool(command, states)
        case ChangePool():
            return _change_pool(command, states)
        case Deploy():
            return _deploy(command, states)
        case EnrolAgent():
            return _enrol(command, states)
        case RevokeAgent():
            return _revoke(command, states)
        case _:
            assert_never(command)


def _fire(command: FireDeadline, states: States, context: Context) -> list[Decided]:
    if command.stream.kind is StreamKind.RUN:
        return run.fire_deadline(command, states, context)
    state = states.session(command.stream.id)
    if state is None or state.deadline is None or state.deadline.at > context.now:
        return []
    if state.status is SessionStatus.OPEN:
        return []
    return session.close_session(CloseSession(state.session, "reassigned"), states)


def _create_pool(command: CreatePool, states: States) -> list[Decided]:
    event = PoolCreated(command.name, tuple(sorted(command.permits)), command.slots)
    before = states.pool(command.pool)
    if before is None:
        _require_slots(command.slots)
        return [Decided(Stream(StreamKind.POOL, command.pool), event)]
    if (before.name, before.permits, before.slots) == (event.name, event.permits, event.slots):
        return []
    raise AlreadyExists("A pool with this id is there already.", pool=before.name)


def _change_pool(command: ChangePool, states: States) -> list[Decided]:
    before = states.pool(command.pool)
    if before is None:
        raise NotFound("There is no such pool in this workspace. `headway pools ls` lists them.")
    _require_slots(command.slots)
    event = PoolChanged(tuple(sorted(command.permits)), command.slots)
    if (before.permits, before.slots) == (event.permits, event.slots):
        return []
    return [Decided(Stream(StreamKind.POOL, command.pool), event)]


def _require_slots(slots: int) -> None:
    if slots < 0:
        raise InvalidArgument("A pool has 0 (as many as its agents) or more slots.", slots=slots)


def _deploy(command: Deploy, states: States) -> list[Decided]:
    if states.pool(command.spec.pool) is None:
        raise NotFound("There is no such pool in this workspace. `headway pools ls` lists them.")
    before = states.deployment(command.deployment)
    if before is not None and before.spec == command.spec:
        return []
    if before is not None and before.spec.name != command.spec.name:
        raise AlreadyExists("A deployment keeps its name.", name=before.spec.name)
    return [Decided(Stream(StreamKind.DEPLOYMENT, command.deployment), command.spec)]


def _enrol(command: EnrolAgent, states: States) -> list[Decided]:
    if states.pool(command.pool) is None:
        raise NotFound("The pool of this enrolment token is gone. Make a token for another pool.")
    before = states.agent(command.agent)
    if before is None:
        event = AgentEnrolled(command.name, command.pool, command.public_key)
        return [Decided(Stream(StreamKind.AGENT, command.agent), event)]
    if before.public_key == command.public_key:
        return []
    raise AlreadyExists("This agent id is bound to another key.")


def _revoke(command: RevokeAgent, states: States) -> list[Decided]:
    before = states.agent(command.agent)
    if before is None:
        raise NotFound("There is no such agent in this workspace.")
    if before.revoked_at is not None:
        return []
    return [Decided(Stream(StreamKind.AGENT, command.agent), AgentRevoked(command.reason))]
