"""Folds a run's events into its state and its newest attempt's. Total over what the transition table allows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.run.events import (
    RunAnswered,
    RunAsked,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunCrashed,
    RunCreated,
    RunEvent,
    RunFailed,
    RunGranted,
    RunPaused,
    RunReattached,
    RunRescheduled,
    RunResumed,
    RunStarted,
    RunSuspended,
    Waiting,
)
from headway_control_plane.domain.run.state import (
    AttemptState,
    AttemptStatus,
    Deadline,
    DeadlineKind,
    Fork,
    RunState,
    RunStatus,
)
from headway_control_plane.domain.run.transitions import target
from headway_control_plane.domain.streams import Blob

RESCHEDULED_REASONS = {
    "failed": "retry",
    "crashed": "retry",
    "died": "retry",
    "lost": "lost",
    "start deadline": "lost",
    "home away": "lost",
}
# After these the run may go to any agent: nobody waits for the one that has its journal.
LEAVES_HOME = frozenset({"lost", "start deadline", "home away", "released"})


MOST_ASKED = 100  # questions of a run, as of one that is suspended
ASKS = "input"
"""The reason of a run that a process executes, when its attempt has asked a person something."""


def asks(state: RunState) -> bool:
    """Whether it may have asked: its process looks for the answers."""
    return any(wait.kind == "input" for wait in state.waits)


def created(run: UUID, event: RunCreated, at: datetime, policy: Policy) -> RunState:
    """The state of a run that was just accepted."""
    name, tags = read_labels(event.labels)
    return RunState(
        run=run,
        version=1,
        status=RunStatus.SCHEDULED,
        reason="",
        fence=0,
        deployment=event.deployment,
        pool=event.pool,
        flow=event.flow,
        name=name,
        tags=tags,
        environment=event.environment,
        entrypoint=event.entrypoint,
        code_hash=event.code_hash,
        parameters=event.parameters.digest,
        priority=event.priority,
        retries=event.retries,
        retry_delay_ms=event.retry_delay_ms,
        on_lost=event.on_lost,
        cancel_grace_ms=event.cancel_grace_ms,
        kill_grace_ms=event.kill_grace_ms,
        attempts_failed=0,
        deaths=0,
        session=None,
        created_at=at,
        due_at=event.due_at,
        started_at=None,
        ended_at=None,
        error_class="",
        error_text=b"",
        result_digest=b"",
        deadline=_home_deadline(event.home, max(event.due_at, at), policy),
        home=event.home,
        forked_from=event.forked_from,
        fork=_fork(event),
        isolation=event.isolation,
        max_runs_per_process=event.max_runs_per_process,
        max_memory_mb=event.max_memory_mb,
        parent_run=event.parent_run,
        parent_call=event.parent_call,
        flow_version=event.flow_version,
    )


def _fork(event: RunCreated) -> Fork | None:
    if event.forked_from is None:
        return None
    return Fork(event.verb, event.from_call, event.around, event.cut_at)


def _home_deadline(home: UUID | None, since: datetime, policy: Policy) -> Deadline | None:
    return None if home is None else Deadline(DeadlineKind.HOME, since + policy.home_timeout)


def read_labels(labels: Blob) -> tuple[str, tuple[str, ...]]:
    """The name and tags of a run; empty once they were erased."""
    if labels.content is None:
        return "", ()
    read = json.loads(labels.content)
    return read["name"], tuple(read["tags"])


def evolve_run(
    state: RunState, event: RunEvent, at: datetime, policy: Policy, *, began: bool
) -> RunState:
    """The next state. `began`: the newest attempt had begun to run user code (where a returned agent takes it up again)."""
    status = target(state.status, event) or (RunStatus.RUNNING if began else RunStatus.PENDING)
    moved = replace(state, version=state.version + 1, status=status, reason="", deadline=None)
    match event:
        case RunCreated():
            raise AssertionError("a run is created once")  # the table has no such move
        case RunGranted():
            return replace(
                moved,
                fence=event.fence,
                session=event.session,
                deadline=Deadline(DeadlineKind.START, at + policy.start_timeout),
            )
        case RunReattached():
            return replace(
                moved,
                reason=ASKS if asks(state) else "",
                session=event.session,
                deadline=_reattached_deadline(state, status, at, policy),
            )
        case RunStarted():
            return replace(moved, started_at=state.started_at or at, deadline=_kept_cancel(state))
        case RunRescheduled():
            counted = event.cause in {"failed", "crashed"}
            home = None if event.cause in LEAVES_HOME else state.home
            return replace(
                moved,
                home=home,
                deadline=_home_deadline(home, max(event.due_at, at), policy),
                reason=RESCHEDULED_REASONS.get(event.cause, event.cause),
                session=None,
                due_at=event.due_at,
                attempts_failed=state.attempts_failed + counted,
                deaths=state.deaths + (event.cause == "died"),
                error_class=event.error_class,
                error_text=event.error_text.digest,
            )
        case RunPaused():
            hold = Deadline(DeadlineKind.HOLD, at + policy.hold_timeout)
            return replace(moved, reason=event.reason, session=None, deadline=hold)
        case RunSuspended():
            return _suspended(replace(moved, session=None), event, at, policy)
        case RunAsked():
            return _asked(state, event, at)
        case RunAnswered():
            return _answered(state, moved, event, at, policy)
        case RunResumed():
            deadline = _home_deadline(state.home, max(event.due_at, at), policy)
            return replace(moved, due_at=event.due_at, deadline=deadline)
        case RunCancelRequested():
            return replace(moved, reason=event.reason, deadline=_cancel_deadline(state, at, policy))
        case RunCompleted() | RunFailed() | RunCrashed() | RunCancelled():
            ended = replace(moved, session=None, ended_at=at, waits=(), answers=())
            return _ended(ended, event)
        case _:
            assert_never(event)


def _suspended(state: RunState, event: RunSuspended, at: datetime, policy: Policy) -> RunState:
    """The answers that the attempt has not taken stay for the next one."""
    calls = {wait.call for wait in event.waits}
    return replace(
        state,
        reason=event.reason,
        home=event.home,
        waits=event.waits,
        answers=tuple(answer for answer in state.answers if answer[0] in calls),
        deadline=_wake(event.waits, at, policy),
    )


def _asked(state: RunState, event: RunAsked, at: datetime) -> RunState:
    """Nothing changes but what can be answered. Of what was asked before, the oldest go: a flow may ask for ever."""
    fresh = {wait.call for wait in event.waits}
    before = [w for w in state.waits if w.call not in fresh and not (w.until and w.until <= at)]
    asked = [wait.call for wait in before if wait.kind == "input"]
    gone = set(asked[: max(0, len(asked) + len(fresh) - MOST_ASKED)])
    waits = (*(wait for wait in before if wait.call not in gone), *event.waits)
    calls = {wait.call for wait in waits}
    return replace(
        state,
        version=state.version + 1,
        reason=ASKS,
        waits=waits,
        answers=tuple(answer for answer in state.answers if answer[0] in calls),
    )


def _wake(waits: tuple[Waiting, ...], at: datetime, policy: Policy) -> Deadline:
    ends = [wait.until for wait in waits if wait.until is not None]
    if ends:
        return Deadline(DeadlineKind.WAKE, max(min(ends), at))
    return Deadline(DeadlineKind.HOLD, at + policy.hold_timeout)


def _answered(
    state: RunState, moved: RunState, event: RunAnswered, at: datetime, policy: Policy
) -> RunState:
    """Who is held stays so; who waits for several runs goes on a little later, with what was answered by then."""
    answers = (*state.answers, (event.call, event.value.digest))
    as_it_was = replace(state, version=state.version + 1, answers=answers)
    if not state.is_suspended:
        return as_it_was
    if event.due_at > at:
        return replace(as_it_was, deadline=_sooner(state.deadline, event.due_at))
    deadline = _home_deadline(state.home, event.due_at, policy)
    return replace(moved, answers=answers, due_at=event.due_at, deadline=deadline)


def _sooner(deadline: Deadline | None, at: datetime) -> Deadline:
    if deadline is not None and deadline.kind is DeadlineKind.WAKE and deadline.at <= at:
        return deadline
    return Deadline(DeadlineKind.WAKE, at)


def _ended(
    state: RunState, event: RunCompleted | RunFailed | RunCrashed | RunCancelled
) -> RunState:
    match event:
        case RunCompleted():
            return replace(state, result_digest=event.result_digest, error_class="", error_text=b"")
        case RunFailed():
            is_error = event.cause == "error"
            return replace(
                state,
                reason="" if is_error else event.cause,
                attempts_failed=state.attempts_failed + is_error,
                error_class=event.error_class,
                error_text=event.error_text.digest,
            )
        case RunCrashed():
            reason = f"{event.cause}: {event.detail}" if event.detail else event.cause
            return replace(state, reason=reason)
        case RunCancelled():
            return replace(state, reason=event.evidence)
        case _:
            assert_never(event)


def _cancel_deadline(state: RunState, at: datetime, policy: Policy) -> Deadline:
    graces = timedelta(milliseconds=state.cancel_grace_ms + state.kill_grace_ms)
    return Deadline(DeadlineKind.CANCEL, at + graces + policy.reassign_after)


def _kept_cancel(state: RunState) -> Deadline | None:
    return state.deadline if state.status is RunStatus.CANCELLING else None


def _reattached_deadline(
    state: RunState, status: RunStatus, at: datetime, policy: Policy
) -> Deadline | None:
    if status is RunStatus.PENDING:
        return Deadline(DeadlineKind.START, at + policy.start_timeout)
    return _kept_cancel(state)


def evolve_attempt(
    state: AttemptState | None, run: UUID, event: RunEvent, at: datetime
) -> AttemptState | None:
    """The newest attempt after the event; None as long as there was no grant."""
    match event:
        case RunGranted():
            return AttemptState(
                run=run,
                fence=event.fence,
                status=AttemptStatus.GRANTED,
                session=event.session,
                agent=event.agent,
                last_seq=0,
                granted_at=at,
                started_at=None,
                ended_at=None,
                outcome="",
                cancel=False,
            )
        case RunReattached() if state is not None:
            status = (
                AttemptStatus.RUNNING if state.started_at is not None else AttemptStatus.GRANTED
            )
            return replace(state, session=event.session, status=status, ended_at=None, outcome="")
        case RunStarted() if state is not None:
            return replace(state, status=AttemptStatus.RUNNING, started_at=at)
        case RunCancelRequested() if state is not None and state.is_open:
            return replace(state, cancel=True)
        case (
            RunRescheduled()
            | RunPaused()
            | RunSuspended()
            | RunCompleted()
            | RunFailed()
            | RunCrashed()
            | RunCancelled()
        ):
            if state is None or not state.is_open:
                return state
            return replace(state, status=AttemptStatus.CLOSED, ended_at=at, outcome=_outcome(event))
        case _:
            return state


def _outcome(
    event: RunRescheduled
    | RunPaused
    | RunSuspended
    | RunCompleted
    | RunFailed
    | RunCrashed
    | RunCancelled,
) -> str:
    match event:
        case RunSuspended():
            return "suspended"
        case RunRescheduled():
            return {"died": "crashed", "start deadline": "lost"}.get(event.cause, event.cause)
        case RunPaused():
            # Only what was lost may be taken up again by its agent; a death was seen.
            return {"died": "crashed"}.get(event.reason, event.reason)
        case RunCompleted():
            return "completed"
        case RunFailed():
            return "failed" if event.cause == "error" else event.cause
        case RunCrashed():
            return "crashed"
        case RunCancelled():
            return "cancelled" if event.evidence == "death seen" else event.evidence
