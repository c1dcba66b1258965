"""Sessions that expire, attempts that are lost, taken up again, fenced, granted again; deadlines of starts and holds."""

from uuid import UUID

import pytest

from headway_control_plane.domain.commands import (
    AttemptOver,
    CloseSession,
    FireDeadline,
    GrantRun,
    Heard,
    LoseAttempt,
    LoseSession,
    OpenSession,
    ReattachAttempt,
    RegrantAttempt,
    ReleaseRun,
    ResumeSession,
)
from headway_control_plane.domain.errors import (
    InvalidState,
    StaleFence,
)
from headway_control_plane.domain.run.events import (
    OnLost,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunReattached,
    RunRescheduled,
)
from headway_control_plane.domain.run.state import DeadlineKind, RunStatus
from headway_control_plane.domain.session.events import SessionClosed, SessionLost, SessionResumed
from headway_control_plane.domain.streams import Stream, StreamKind
from support.domain import AGENT, OTHER_AGENT, OTHER_SESSION, REPLICA, RUN, SESSION, Workspace

RUN_STREAM = Stream(StreamKind.RUN, RUN)


SESSION_STREAM = Stream(StreamKind.SESSION, SESSION)


def over(outcome, cause="", fence=1, **more):
    return AttemptOver(RUN, fence, outcome, cause, **more)


def test_an_expired_session_appends_session_lost_and_nothing_else():
    ws = Workspace().running()
    with pytest.raises(InvalidState):
        ws.when(LoseSession(SESSION))
    ws.later(seconds=31)
    before = len(ws.log)
    assert ws.when(LoseSession(SESSION)) == [SessionLost()]
    assert len(ws.log) == before + 1
    assert ws.run.status is RunStatus.RUNNING
    assert ws.run.fence == 1


def test_a_session_that_returns_before_a_grant_goes_on_where_it_was():
    ws = Workspace().running()
    ws.later(seconds=31)
    ws.when(LoseSession(SESSION))
    assert ws.when(ResumeSession(SESSION, REPLICA, 4)) == [SessionResumed(REPLICA, 4)]
    assert ws.when(ReattachAttempt(RUN, 1, SESSION)) == []
    assert ws.when(over("completed")) == [RunCompleted(1)]


def test_a_lost_attempt_is_taken_up_again_as_long_as_nobody_else_got_the_run():
    ws = Workspace().running()
    ws.later(seconds=31)
    ws.when(LoseSession(SESSION))
    ws.later(seconds=91)
    assert ws.when(FireDeadline(SESSION_STREAM, DeadlineKind.REASSIGN, ws.now)) == [
        SessionClosed("reassigned")
    ]
    assert ws.when(LoseAttempt(RUN, 1)) == [RunRescheduled(1, "lost", ws.now)]
    assert (ws.run.status, ws.run.reason) == (RunStatus.SCHEDULED, "lost")
    ws.when(OpenSession(OTHER_SESSION, AGENT, REPLICA, "host", "1", 4))
    assert ws.when(ReattachAttempt(RUN, 1, OTHER_SESSION)) == [RunReattached(1, OTHER_SESSION)]
    assert ws.run.status is RunStatus.RUNNING


def test_what_a_given_up_stream_says_late_loses_nothing():
    ws = Workspace().running()
    elsewhere = UUID(int=99)
    late = LoseAttempt(RUN, 1, "agent forgot", heard=Heard(SESSION, REPLICA))
    ws.when(ResumeSession(SESSION, elsewhere, 4))
    assert ws.when(late) == []
    assert ws.when(LoseAttempt(RUN, 1, "agent forgot", heard=Heard(SESSION, elsewhere))) != []


def test_after_another_grant_the_old_agent_is_fenced():
    ws = Workspace().running()
    ws.when(LoseAttempt(RUN, 1))
    ws.when(OpenSession(OTHER_SESSION, OTHER_AGENT, REPLICA, "other", "1", 4))
    ws.when(GrantRun(RUN, OTHER_SESSION, 1))
    with pytest.raises(StaleFence):
        ws.when(ReattachAttempt(RUN, 1, SESSION))
    with pytest.raises(StaleFence):
        ws.when(over("completed", fence=1))
    assert ws.when(LoseAttempt(RUN, 1)) == []
    assert ws.run.fence == 2


def test_another_agent_cannot_take_an_attempt_over():
    ws = Workspace().running()
    ws.when(OpenSession(OTHER_SESSION, OTHER_AGENT, REPLICA, "other", "1", 4))
    with pytest.raises(InvalidState):
        ws.when(ReattachAttempt(RUN, 1, OTHER_SESSION))


def test_a_grant_that_the_log_lost_is_made_again_under_its_fence():
    ws = Workspace().ready()
    ws.created()
    (granted,) = ws.when(RegrantAttempt(RUN, 2, SESSION))
    assert (granted.fence, granted.session, granted.agent) == (2, SESSION, AGENT)
    assert ws.run.status is RunStatus.PENDING
    with pytest.raises(InvalidState):
        ws.when(RegrantAttempt(RUN, 3, SESSION))


@pytest.mark.parametrize("fence", [0, 1, 10_000])
def test_only_a_fence_that_the_log_may_have_lost_is_granted_again(fence):
    ws = Workspace().running()
    ws.when(LoseAttempt(RUN, 1))
    with pytest.raises(StaleFence):
        ws.when(RegrantAttempt(RUN, fence, SESSION))


def test_a_paused_run_goes_on_when_released_or_when_its_agent_returns():
    ws = Workspace().running(on_lost=OnLost.HOLD)
    ws.when(LoseAttempt(RUN, 1))
    assert (ws.run.status, ws.run.reason) == (RunStatus.PAUSED, "lost")
    ws.when(ReleaseRun(RUN))
    assert ws.run.status is RunStatus.SCHEDULED
    with pytest.raises(InvalidState):
        ws.when(ReleaseRun(RUN))


def test_an_attempt_that_was_seen_to_die_is_not_taken_up_again():
    ws = Workspace().running(on_lost=OnLost.HOLD)
    assert ws.when(over("crashed", "signal")) == [RunPaused(1, "died")]
    with pytest.raises(StaleFence):
        ws.when(ReattachAttempt(RUN, 1, SESSION))
    ws.when(ReleaseRun(RUN))
    assert ws.run.status is RunStatus.SCHEDULED


def test_a_run_held_too_long_fails():
    ws = Workspace().running(on_lost=OnLost.HOLD)
    ws.when(LoseAttempt(RUN, 1))
    assert ws.when(FireDeadline(RUN_STREAM, DeadlineKind.HOLD, ws.now)) == []
    ws.later(days=8)
    assert ws.when(FireDeadline(RUN_STREAM, DeadlineKind.HOLD, ws.now)) == [
        RunFailed(1, "held too long")
    ]


def test_a_grant_that_never_begins_is_given_away():
    ws = Workspace().ready()
    ws.created()
    ws.when(GrantRun(RUN, SESSION, 1))
    ws.later(minutes=6)
    ws.renewed()
    (event,) = ws.when(FireDeadline(RUN_STREAM, DeadlineKind.START, ws.now, SESSION))
    assert event == RunRescheduled(1, "start deadline", ws.now)


def test_a_start_deadline_counts_once_its_agent_could_have_spoken():
    ws = Workspace().ready()
    ws.created()
    ws.when(GrantRun(RUN, SESSION, 1))
    fire = FireDeadline(RUN_STREAM, DeadlineKind.START, ws.now, SESSION)
    ws.later(minutes=6)
    assert ws.when(fire) == [], "its lease has run out; nobody has noted it yet"
    ws.when(LoseSession(SESSION))
    assert ws.when(fire) == [], "it is away, and may have begun the run in silence"
    ws.when(ResumeSession(SESSION, REPLICA, 4))
    assert ws.when(fire) == [], "it is back this very moment"
    ws.later(seconds=44)
    ws.renewed()
    ws.when(ResumeSession(SESSION, REPLICA, 5))
    assert ws.when(fire) == []
    ws.later(seconds=1)
    assert ws.when(fire) == [RunRescheduled(1, "start deadline", ws.now)]


@pytest.mark.parametrize("handover", [True, False])
def test_a_start_deadline_waits_for_an_agent_that_said_it_will_be_back(handover):
    ws = Workspace().ready()
    ws.created()
    ws.when(GrantRun(RUN, SESSION, 1))
    ws.when(CloseSession(SESSION, "restart", handover))
    ws.later(minutes=6)
    fired = ws.when(FireDeadline(RUN_STREAM, DeadlineKind.START, ws.now, SESSION))
    assert fired == ([] if handover else [RunRescheduled(1, "start deadline", ws.now)])


def test_a_goodbye_with_handover_keeps_the_attempts_until_the_deadline():
    ws = Workspace().running()
    ws.when(CloseSession(SESSION, "goodbye", handover=True))
    state = ws.states.session(SESSION)
    assert state.deadline.kind is DeadlineKind.REASSIGN
    ws.later(seconds=91)
    assert ws.when(FireDeadline(SESSION_STREAM, DeadlineKind.REASSIGN, ws.now)) == [
        SessionClosed("reassigned")
    ]
    assert ws.states.session(SESSION).deadline is None
