"""Runs that wait without a process: suspended, answered, woken, and kept for the agent that has their journal."""

from datetime import timedelta

import pytest

from headway_control_plane.domain.commands import (
    AnswerRun,
    AttemptOver,
    CancelRun,
    FireDeadline,
    GrantRun,
    OpenSession,
    ReleaseRun,
)
from headway_control_plane.domain.errors import InvalidState
from headway_control_plane.domain.run.events import (
    OnLost,
    RunAnswered,
    RunCancelled,
    RunFailed,
    RunRescheduled,
    RunResumed,
    RunSuspended,
    Waiting,
)
from headway_control_plane.domain.run.state import DeadlineKind
from headway_control_plane.domain.streams import Blob, Stream, StreamKind
from support.domain import AGENT, OTHER_AGENT, OTHER_SESSION, REPLICA, RUN, SESSION, Workspace

ASKED, SLEPT = b"asked", b"slept"
YES = Blob.of(b"true")


def wait(call=ASKED, kind="input", until=None) -> Waiting:
    return Waiting(call, kind, "approve", b"", until, b"")


def suspended(*waits: Waiting, **spec) -> Workspace:
    ws = Workspace().running(**spec)
    ws.when(AttemptOver(RUN, 1, "suspended", waits=waits))
    return ws


def fire(ws: Workspace, kind: DeadlineKind) -> list[object]:
    return ws.when(FireDeadline(Stream(StreamKind.RUN, RUN), kind, ws.run.deadline.at))


def test_a_suspended_run_holds_no_attempt_and_waits_for_its_answer():
    ws = suspended(wait())
    assert (ws.run.status, ws.run.reason, ws.run.home) == ("paused", "input", AGENT)
    assert ws.run.session is None
    assert not ws.states.attempt(RUN, 1).is_open
    assert ws.states.attempt(RUN, 1).outcome == "suspended"
    assert ws.run.deadline.kind is DeadlineKind.HOLD
    [answered] = ws.when(AnswerRun(RUN, ASKED, YES))
    assert isinstance(answered, RunAnswered)
    assert (ws.run.status, ws.run.answers) == ("scheduled", ((ASKED, YES.digest),))


def test_an_answer_is_taken_once():
    ws = suspended(wait())
    ws.when(AnswerRun(RUN, ASKED, YES))
    with pytest.raises(InvalidState, match="answered before"):
        ws.when(AnswerRun(RUN, ASKED, YES))


@pytest.mark.parametrize("call", [b"other", SLEPT])
def test_only_what_was_asked_is_answered(call):
    ws = suspended(wait(), wait(SLEPT, "sleep", None))
    with pytest.raises(InvalidState):
        ws.when(AnswerRun(RUN, call, YES))


def test_an_answer_after_its_time_comes_too_late():
    ws = Workspace().running()
    ws.when(AttemptOver(RUN, 1, "suspended", waits=(wait(until=ws.now + timedelta(hours=1)),)))
    ws.later(hours=2)
    with pytest.raises(InvalidState, match="over"):
        ws.when(AnswerRun(RUN, ASKED, YES))


def test_an_answer_that_comes_while_it_runs_lets_the_next_suspension_go_on_at_once():
    ws = suspended(wait(), wait(b"second"))
    ws.when(AnswerRun(RUN, ASKED, YES))
    ws.when(GrantRun(RUN, SESSION, 1))
    ws.when(AnswerRun(RUN, b"second", YES))
    assert ws.run.status == "pending"
    events = ws.when(AttemptOver(RUN, 2, "suspended", waits=(wait(b"second"),)))
    assert [type(event) for event in events] == [RunSuspended, RunResumed]
    assert (ws.run.status, ws.run.answers) == ("scheduled", ((b"second", YES.digest),))


def test_the_earliest_wait_wakes_it():
    ws = Workspace().running()
    sleeps = (
        wait(SLEPT, "sleep", ws.now + timedelta(hours=1)),
        wait(b"x", "sleep", ws.now + timedelta(hours=2)),
    )
    ws.when(AttemptOver(RUN, 1, "suspended", waits=sleeps))
    assert (ws.run.reason, ws.run.deadline.kind) == ("sleeping", DeadlineKind.WAKE)
    assert ws.run.deadline.at == ws.now + timedelta(hours=1)
    assert fire(ws, DeadlineKind.WAKE) == []
    ws.later(hours=1)
    assert fire(ws, DeadlineKind.WAKE) == [RunResumed(ws.now)]
    assert ws.run.status == "scheduled"


def test_a_wait_that_was_over_before_the_suspension_was_known_goes_on_at_once():
    ws = Workspace().running()
    events = ws.when(AttemptOver(RUN, 1, "suspended", waits=(wait(SLEPT, "sleep", ws.now),)))
    assert isinstance(events[-1], RunResumed)


def test_a_suspended_run_is_not_released_but_can_be_cancelled():
    ws = suspended(wait())
    with pytest.raises(InvalidState):
        ws.when(ReleaseRun(RUN))
    assert isinstance(ws.when(CancelRun(RUN))[-1], RunCancelled)


def test_only_its_home_gets_it():
    ws = suspended(wait())
    ws.when(AnswerRun(RUN, ASKED, YES))
    ws.when(OpenSession(OTHER_SESSION, OTHER_AGENT, REPLICA, "host", "1", 4))
    with pytest.raises(InvalidState, match="journal"):
        ws.when(GrantRun(RUN, OTHER_SESSION, 1))
    assert ws.when(GrantRun(RUN, SESSION, 1))


@pytest.mark.parametrize(
    ("on_lost", "event", "status"),
    [
        (OnLost.RETRY, RunRescheduled, "scheduled"),
        (OnLost.HOLD, None, "paused"),
        (OnLost.FAIL, RunFailed, "failed"),
    ],
)
def test_a_home_that_stays_away_is_a_lost_agent(on_lost, event, status):
    ws = suspended(wait(), on_lost=on_lost)
    ws.when(AnswerRun(RUN, ASKED, YES))
    assert ws.run.deadline.kind is DeadlineKind.HOME
    ws.later(minutes=15)
    [decided] = fire(ws, DeadlineKind.HOME)
    assert event is None or isinstance(decided, event)
    assert ws.run.status == status
    if on_lost is OnLost.RETRY:
        assert ws.run.home is None


@pytest.mark.parametrize("answered", [False, True])
def test_a_person_need_not_wait_for_its_home(answered):
    ws = suspended(wait())
    if answered:
        ws.when(AnswerRun(RUN, ASKED, YES))
    ws.when(ReleaseRun(RUN, anywhere=True))
    assert (ws.run.status, ws.run.home) == ("scheduled", None)
    ws.when(OpenSession(OTHER_SESSION, OTHER_AGENT, REPLICA, "host", "1", 4))
    assert ws.when(GrantRun(RUN, OTHER_SESSION, 1))


def test_a_question_that_nobody_answers_ends_the_run():
    ws = suspended(wait())
    ws.later(days=8)
    [failed] = fire(ws, DeadlineKind.HOLD)
    assert failed.cause == "held too long"


def test_a_suspension_that_names_no_wait_can_be_released():
    ws = suspended()
    assert (ws.run.reason, ws.run.deadline.kind) == ("suspended", DeadlineKind.HOLD)
    ws.when(ReleaseRun(RUN))
    assert ws.run.status == "scheduled"
