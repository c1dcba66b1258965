"""A run's life, case by case: given a workspace, when a command, then events and a state."""

from datetime import timedelta
from uuid import UUID

import pytest

from headway_control_plane.domain.commands import (
    AttemptBegan,
    AttemptOver,
    CancelRun,
    FireDeadline,
    GrantRun,
    LoseAttempt,
)
from headway_control_plane.domain.errors import (
    Conflict,
    InvalidState,
    NotFound,
    StaleShard,
)
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.run.events import (
    OnLost,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunCrashed,
    RunFailed,
    RunGranted,
    RunPaused,
    RunRescheduled,
    RunStarted,
)
from headway_control_plane.domain.run.state import DeadlineKind, RunStatus
from headway_control_plane.domain.streams import Stream, StreamKind
from support.domain import AGENT, OTHER_SESSION, RUN, SESSION, Workspace

RUN_STREAM = Stream(StreamKind.RUN, RUN)


def over(outcome, cause="", fence=1, **more):
    return AttemptOver(RUN, fence, outcome, cause, **more)


def test_a_run_goes_from_scheduled_to_completed():
    ws = Workspace().ready()
    ws.created()
    assert ws.run.status is RunStatus.SCHEDULED
    assert ws.run.name == "first"
    assert ws.when(GrantRun(RUN, SESSION, 1)) == [RunGranted(1, SESSION, AGENT)]
    assert ws.run.status is RunStatus.PENDING
    assert ws.run.deadline.kind is DeadlineKind.START
    assert ws.when(AttemptBegan(RUN, 1)) == [RunStarted(1)]
    assert ws.run.deadline is None
    assert ws.when(over("completed", result_digest=b"d", result_size_bytes=7)) == [
        RunCompleted(1, b"d", 7)
    ]
    assert ws.run.is_terminal
    assert not ws.states.attempt(RUN, 1).is_open


def test_each_command_again_appends_nothing():
    ws = Workspace().ready()
    ws.created()
    assert ws.created() == []
    ws.when(GrantRun(RUN, SESSION, 1))
    assert ws.when(GrantRun(RUN, SESSION, 1)) == []
    ws.when(AttemptBegan(RUN, 1))
    assert ws.when(AttemptBegan(RUN, 1)) == []
    ws.when(over("completed"))
    assert ws.when(over("completed")) == []


def test_a_grant_needs_the_owner_of_the_shard_a_live_session_and_a_waiting_run():
    ws = Workspace().ready()
    ws.created()
    with pytest.raises(StaleShard):
        ws.when(GrantRun(RUN, SESSION, 2))
    with pytest.raises(InvalidState):
        ws.when(GrantRun(RUN, OTHER_SESSION, 1))
    ws.later(seconds=31)
    with pytest.raises(InvalidState):
        ws.when(GrantRun(RUN, SESSION, 1))


def test_a_pool_at_its_limit_grants_nothing_until_a_slot_is_free():
    ws = Workspace().ready()
    from headway_control_plane.domain.commands import ChangePool
    from support.domain import POOL

    ws.when(ChangePool(POOL, ("id",), 1))
    ws.created()
    other = UUID(int=99)
    ws.created(other)
    ws.when(GrantRun(RUN, SESSION, 1))
    with pytest.raises(InvalidState, match="slots"):
        ws.when(GrantRun(other, SESSION, 1))
    ws.when(over("completed"))
    assert ws.when(GrantRun(other, SESSION, 1)) == [RunGranted(1, SESSION, AGENT)]


def test_a_run_waits_until_it_is_due():
    ws = Workspace().ready()
    ws.created(due_at=ws.now + timedelta(seconds=5))
    with pytest.raises(InvalidState):
        ws.when(GrantRun(RUN, SESSION, 1))
    ws.later(seconds=5)
    assert ws.when(GrantRun(RUN, SESSION, 1))


def test_parameters_are_accepted_only_against_the_deployment_they_were_checked_with():
    ws = Workspace().ready()
    with pytest.raises(Conflict):
        ws.created(deployment_version=2)
    with pytest.raises(NotFound):
        ws.created(deployment=UUID(int=77))


def test_failures_use_up_the_retries_then_fail():
    ws = Workspace().running(retries=1, retry_delay_ms=3000)
    assert ws.when(over("failed", error_class="ValueError")) == [
        RunRescheduled(1, "failed", ws.now + timedelta(seconds=3), "ValueError")
    ]
    assert (ws.run.reason, ws.run.attempts_failed) == ("retry", 1)
    ws.later(seconds=3)
    ws.when(GrantRun(RUN, SESSION, 1))
    assert ws.run.fence == 2
    ws.when(AttemptBegan(RUN, 2))
    assert ws.when(over("failed", fence=2, error_class="ValueError")) == [
        RunFailed(2, "error", "ValueError")
    ]


def test_a_refused_attempt_fails_without_retries():
    ws = Workspace().running(retries=5)
    assert ws.when(over("refused", error_class="EntrypointRefused")) == [
        RunFailed(1, "refused", "EntrypointRefused")
    ]


@pytest.mark.parametrize(
    ("on_lost", "event"),
    [
        (OnLost.RETRY, RunRescheduled),
        (OnLost.HOLD, RunPaused),
        (OnLost.FAIL, RunCrashed),
    ],
)
def test_a_process_that_died_is_handled_as_on_lost_says_at_once(on_lost, event):
    ws = Workspace().running(on_lost=on_lost)
    (happened,) = ws.when(over("crashed", "signal"))
    assert type(happened) is event
    if on_lost is OnLost.RETRY:
        assert happened.due_at == ws.now


def test_a_run_whose_process_keeps_dying_crashes_in_the_end():
    ws = Workspace(Policy(deaths_max=3)).running()
    for fence in (1, 2):
        (event,) = ws.when(over("crashed", "signal", fence))
        assert isinstance(event, RunRescheduled)
        ws.later(seconds=1)
        ws.when(GrantRun(RUN, SESSION, 1))
        ws.when(AttemptBegan(RUN, fence + 1))
    assert ws.when(over("crashed", "signal", 3, detail="SIGKILL")) == [
        RunCrashed(3, "signal", "SIGKILL")
    ]


def test_a_process_that_chose_to_exit_counts_as_a_try():
    ws = Workspace().running(retries=1)
    assert isinstance(ws.when(over("crashed", "exit"))[0], RunRescheduled)
    ws.when(GrantRun(RUN, SESSION, 1))
    assert ws.when(over("crashed", "exit", 2, detail="exit code 3")) == [
        RunCrashed(2, "exit", "exit code 3")
    ]


class TestCancel:
    def test_a_waiting_run_ends_at_once(self):
        ws = Workspace().ready()
        ws.created()
        assert ws.when(CancelRun(RUN, "no")) == [
            RunCancelRequested("no"),
            RunCancelled(0, "never started"),
        ]

    def test_a_running_run_ends_when_its_death_was_seen(self):
        ws = Workspace().running()
        assert ws.when(CancelRun(RUN)) == [RunCancelRequested("")]
        assert ws.states.attempt(RUN, 1).cancel
        assert ws.when(CancelRun(RUN)) == []
        assert ws.when(over("cancelled", "cancelled")) == [RunCancelled(1, "death seen")]

    def test_a_failure_while_cancelling_is_no_reason_for_a_retry(self):
        ws = Workspace().running(retries=3)
        ws.when(CancelRun(RUN))
        assert ws.when(over("failed")) == [RunCancelled(1, "death seen")]

    def test_a_run_that_completed_first_is_completed(self):
        ws = Workspace().running()
        ws.when(CancelRun(RUN))
        assert ws.when(over("completed")) == [RunCompleted(1)]

    def test_a_dead_agent_cannot_hold_a_cancel_up(self):
        ws = Workspace().running()
        ws.when(CancelRun(RUN))
        deadline = ws.run.deadline
        assert deadline.kind is DeadlineKind.CANCEL
        assert deadline.at == ws.now + timedelta(seconds=100)
        ws.later(seconds=100)
        assert ws.when(FireDeadline(RUN_STREAM, DeadlineKind.CANCEL, ws.now)) == [
            RunCancelled(1, "death unconfirmed")
        ]

    def test_the_deadline_outlives_a_late_start_and_a_return(self):
        ws = Workspace().ready()
        ws.created()
        ws.when(GrantRun(RUN, SESSION, 1))
        ws.when(CancelRun(RUN))
        deadline = ws.run.deadline
        ws.when(AttemptBegan(RUN, 1))
        assert ws.run.deadline == deadline

    def test_an_ended_run_has_nothing_to_cancel(self):
        ws = Workspace().running()
        ws.when(over("completed"))
        with pytest.raises(InvalidState, match="already ended"):
            ws.when(CancelRun(RUN))

    def test_a_lost_attempt_of_a_cancelled_run_is_not_given_again(self):
        ws = Workspace().running()
        ws.when(CancelRun(RUN))
        assert ws.when(LoseAttempt(RUN, 1)) == [RunCancelled(1, "death unconfirmed")]


def test_a_slot_that_is_to_be_left_has_to_be_left_first():
    ws = Workspace().ready()
    ws.created()
    other = UUID(int=99)
    ws.created(other)
    ws.when(GrantRun(RUN, SESSION, 1))
    with pytest.raises(InvalidState, match="still taken"):
        ws.when(GrantRun(other, SESSION, 1, instead_of=RUN))
    ws.when(over("completed"))
    assert ws.when(GrantRun(other, SESSION, 1, instead_of=RUN)) == [RunGranted(1, SESSION, AGENT)]
    unknown = UUID(int=100)
    ws.created(unknown)
    assert ws.when(GrantRun(unknown, SESSION, 1, instead_of=UUID(int=101)))
