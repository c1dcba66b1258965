"""Decides what becomes of a run: grants, ends, retries, losses, cancels. The log appends; nothing here touches the world."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from headway_control_plane.domain.commands import (
    AttemptBegan,
    AttemptOver,
    CancelRun,
    CreateRun,
    FireDeadline,
    GrantRun,
    Heard,
    LoseAttempt,
    ReattachAttempt,
    RegrantAttempt,
    ReleaseRun,
)
from headway_control_plane.domain.errors import (
    Conflict,
    InvalidArgument,
    InvalidState,
    NotFound,
    StaleFence,
    StaleShard,
)
from headway_control_plane.domain.run import waits
from headway_control_plane.domain.run.events import (
    OnLost,
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
)
from headway_control_plane.domain.run.state import AttemptState, DeadlineKind, RunState, RunStatus
from headway_control_plane.domain.session.state import SessionState, SessionStatus
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Context, Decided, Stream, StreamKind

# The process was taken from outside, or nobody saw how it went: not the flow's failure. `exit` is: the process chose to end.
DEATHS = frozenset({"signal", "killed", "supervisor lost", "host restarted", "cancelled"})
DEATH_DELAY_MAX = timedelta(seconds=60)
# Of one run, in what a restored log lacks.
LOST_GRANTS_MAX = 100


def create_run(command: CreateRun, states: States, context: Context) -> list[Decided]:
    """Accepts a run of a deployment. The same run id again appends nothing: the outcome of the first append was unknown."""
    if states.run(command.run) is not None:
        return []
    deployment = states.deployment(command.deployment)
    if deployment is None:
        raise NotFound(
            "There is no such deployment in this workspace. `headway deployments ls` lists them."
        )
    if deployment.version != command.deployment_version:
        raise Conflict(
            "The deployment changed while the run was being accepted.", version=deployment.version
        )
    if not 1 <= command.priority <= 5:
        raise InvalidArgument("A priority is 1 (first) to 5 (last).", priority=command.priority)
    spec = deployment.spec
    event = RunCreated(
        deployment=command.deployment,
        pool=spec.pool,
        flow=spec.flow,
        labels=command.labels,
        parameters=command.parameters,
        environment=spec.environment,
        entrypoint=spec.entrypoint,
        code_hash=spec.code_hash,
        priority=command.priority,
        due_at=command.due_at or context.now,
        retries=spec.retries,
        retry_delay_ms=spec.retry_delay_ms,
        on_lost=spec.on_lost,
        cancel_grace_ms=spec.cancel_grace_ms,
        kill_grace_ms=spec.kill_grace_ms,
        isolation=spec.isolation,
        max_runs_per_process=spec.max_runs_per_process,
        max_memory_mb=spec.max_memory_mb,
        parent_run=command.parent_run,
        parent_call=command.parent_call,
        flow_version=spec.flow_version,
    )
    return _on(command.run, _forked(event, command, states))


def _forked(event: RunCreated, command: CreateRun, states: States) -> RunCreated:
    """A run that goes on with another's journal goes where that is."""
    if command.forked_from is None or command.fork is None:
        return event
    source = _present(states, command.forked_from)
    if not source.is_terminal:
        raise InvalidState(
            f"The run has not ended ({source.status}); cancel it first, or let it go on.",
            status=source.status,
        )
    if source.pool != event.pool:
        raise InvalidState(
            "The deployment has moved to another pool, whose agents do not have this run's journal. Start a new run."
        )
    attempt = states.attempt(source.run, source.fence)
    return replace(
        event,
        home=attempt.agent if attempt is not None else source.home,
        forked_from=source.run,
        verb=command.fork.verb,
        from_call=command.fork.call,
        around=command.fork.around,
        cut_at=command.fork.cut_at,
    )


def grant_run(command: GrantRun, states: States, context: Context) -> list[Decided]:
    """Gives the run to a session: the one place that raises the fence."""
    if command.shard_epoch != states.shard_epoch:
        raise StaleShard("Another replica owns this shard.", epoch=states.shard_epoch)
    run = _present(states, command.run)
    session = states.session(command.session)
    if run.status is RunStatus.PENDING and run.session == command.session:
        return []
    if run.status is not RunStatus.SCHEDULED or run.due_at > context.now:
        raise InvalidState("The run does not wait for a grant.", status=run.status)
    if not _takes_work(session, context) or session is None or session.pool != run.pool:
        raise InvalidState("The session does not take runs of this pool.", session=command.session)
    if run.home is not None and run.home != session.agent:
        raise InvalidState("Another agent has the journal of this run.", agent=run.home)
    pool = states.pool(run.pool)
    if pool is not None and 0 < pool.slots <= pool.slots_taken:
        raise InvalidState("All slots of the pool are taken.", pool=pool.name)
    if command.instead_of is not None and _holds(states, command.instead_of, command.session):
        raise InvalidState("The slot is still taken.", session=command.session)
    return _on(
        command.run, RunGranted(fence=run.fence + 1, session=command.session, agent=session.agent)
    )


def _holds(states: States, run: UUID, session: UUID) -> bool:
    """Whether the newest attempt of the run is open in that session."""
    state = states.run(run)
    attempt = states.attempt(run, state.fence) if state is not None else None
    return attempt is not None and attempt.is_open and attempt.session == session


def reattach_attempt(command: ReattachAttempt, states: States, context: Context) -> list[Decided]:
    """The agent came back before anyone else got the run: same fence, nothing is repeated."""
    run, attempt = _newest(states, command.run, command.fence)
    session = states.session(command.session)
    if not _takes_work(session, context) or session is None or session.agent != attempt.agent:
        raise InvalidState("Only the agent that got the attempt can take it up again.")
    if attempt.is_open:
        return (
            []
            if attempt.session == command.session
            else _on(run.run, RunReattached(run.fence, command.session))
        )
    if attempt.outcome != "lost" or run.status not in {RunStatus.SCHEDULED, RunStatus.PAUSED}:
        raise StaleFence("The attempt has ended.", fence=run.fence)
    return _on(run.run, RunReattached(run.fence, command.session))


def regrant_attempt(command: RegrantAttempt, states: States, context: Context) -> list[Decided]:
    """A log that lost its newest events grants the attempt once more to the agent that holds it, under the fence that it had."""
    run = _present(states, command.run)
    session = states.session(command.session)
    if run.status is not RunStatus.SCHEDULED:
        raise InvalidState("The run does not wait for a grant.", status=run.status)
    if not run.fence < command.fence <= run.fence + LOST_GRANTS_MAX:
        raise StaleFence("The log knows a newer attempt.", fence=run.fence)
    if not _takes_work(session, context) or session is None or session.pool != run.pool:
        raise InvalidState("The session does not take runs of this pool.", session=command.session)
    return _on(command.run, RunGranted(command.fence, command.session, session.agent))


def lose_attempt(command: LoseAttempt, states: States, context: Context) -> list[Decided]:
    """Nobody holds the attempt any more, as far as we can know: `on_lost` decides."""
    run = _present(states, command.run)
    attempt = states.attempt(run.run, run.fence)
    if attempt is None or not attempt.is_open or command.fence != run.fence:
        return []
    if command.session is not None and attempt.session != command.session:
        return []
    if command.heard is not None and not _still_there(states, command.heard):
        return []
    return _on(run.run, _lost(run, command.cause, context))


def cancel_run(command: CancelRun, states: States) -> list[Decided]:
    """From here on no new grant. Nothing open: cancelled at once; else the agent is told, and a deadline runs."""
    run = _present(states, command.run)
    if run.status is RunStatus.CANCELLING:
        return []
    if run.is_terminal:
        raise InvalidState(
            f"The run has already ended ({run.status}); there is nothing to cancel.",
            status=run.status,
        )
    attempt = states.attempt(run.run, run.fence)
    requested = _on(run.run, RunCancelRequested(command.reason))
    if attempt is not None and attempt.is_open:
        return requested
    return requested + _on(
        run.run, RunCancelled(run.fence, "never started" if run.fence == 0 else "no attempt open")
    )


def release_run(command: ReleaseRun, states: States, context: Context) -> list[Decided]:
    """A person lets a paused run go on, or no longer waits for the agent that has its journal."""
    run = _present(states, command.run)
    if command.anywhere and run.home is not None:
        if run.status not in {RunStatus.PAUSED, RunStatus.SCHEDULED}:
            raise InvalidState(f"An agent has the run already ({run.status}).", status=run.status)
        return _on(run.run, RunRescheduled(run.fence, "released", context.now))
    if run.status is not RunStatus.PAUSED:
        raise InvalidState(f"The run is not paused ({run.status}).", status=run.status)
    if run.is_suspended and run.waits:
        raise InvalidState(
            f"The run goes on when its wait is over ({run.reason}).", status=run.status
        )
    return _on(run.run, RunResumed(due_at=context.now))


def fire_deadline(command: FireDeadline, states: States, context: Context) -> list[Decided]:
    """A run's deadline passed. One that is not the run's present deadline does nothing."""
    run = states.run(command.stream.id)
    if (
        run is None
        or run.deadline is None
        or run.deadline.kind is not command.kind
        or run.deadline.at > context.now
    ):
        return []
    match command.kind:
        case DeadlineKind.START:
            if not _was_heard_out(states, run, context):
                return []  # looked at again; a session that stays away loses the run by other rules
            return _on(run.run, _lost(run, "start deadline", context))
        case DeadlineKind.CANCEL:
            return _on(run.run, RunCancelled(run.fence, "death unconfirmed"))
        case DeadlineKind.HOLD:
            return _on(run.run, RunFailed(run.fence, "held too long"))
        case DeadlineKind.WAKE:
            return _on(run.run, RunResumed(context.now))
        case DeadlineKind.HOME:
            return _on(run.run, _lost(run, "home away", context))
        case DeadlineKind.REASSIGN:
            return []


def attempt_began(command: AttemptBegan, states: States) -> list[Decided]:
    """User code runs."""
    run, attempt = _newest(states, command.run, command.fence)
    if not attempt.is_open or attempt.started_at is not None:
        return []
    return _on(run.run, RunStarted(run.fence))


def attempt_over(command: AttemptOver, states: States, context: Context) -> list[Decided]:
    """Death was seen. The one append that closes the attempt and says what becomes of the run."""
    run, attempt = _newest(states, command.run, command.fence)
    if not attempt.is_open:
        return []
    if command.outcome == "completed":
        started = [] if attempt.started_at is not None else _on(run.run, RunStarted(run.fence))
        return started + _on(
            run.run, RunCompleted(run.fence, command.result_digest, command.result_size_bytes)
        )
    if run.status is RunStatus.CANCELLING:
        return _on(run.run, RunCancelled(run.fence, "death seen"))
    if command.outcome == "suspended":
        return [
            Decided(Stream(StreamKind.RUN, run.run), event)
            for event in waits.suspend(run, attempt, command.waits, states, context)
        ]
    return _on(run.run, _after_failure(run, command, context))


def _after_failure(run: RunState, command: AttemptOver, context: Context) -> RunEvent:
    if command.outcome == "refused":
        return RunFailed(run.fence, "refused", command.error_class, command.error_text)
    if command.outcome == "failed":
        if run.attempts_failed < run.retries:
            return RunRescheduled(
                run.fence,
                "failed",
                _retry_at(run, context),
                command.error_class,
                command.error_text,
            )
        return RunFailed(run.fence, "error", command.error_class, command.error_text)
    if command.cause in DEATHS or command.outcome == "cancelled":
        return _died(run, command, context)
    if run.attempts_failed < run.retries:
        return RunRescheduled(run.fence, "crashed", _retry_at(run, context))
    return RunCrashed(run.fence, command.cause, command.detail)


def _died(run: RunState, command: AttemptOver, context: Context) -> RunEvent:
    """The process died under the flow. A run that keeps dying is not retried for ever: memory exhausted looks just like this."""
    if run.on_lost is OnLost.HOLD:
        return RunPaused(run.fence, "died")
    if run.on_lost is OnLost.FAIL or run.deaths + 1 >= context.policy.deaths_max:
        return RunCrashed(run.fence, command.cause, command.detail)
    delay = timedelta(seconds=2**run.deaths - 1)
    return RunRescheduled(run.fence, "died", context.now + min(delay, DEATH_DELAY_MAX))


def _lost(run: RunState, cause: str, context: Context) -> RunEvent:
    if run.status is RunStatus.CANCELLING:
        return RunCancelled(run.fence, "death unconfirmed")
    match run.on_lost:
        case OnLost.RETRY:
            return RunRescheduled(run.fence, cause, context.now)
        case OnLost.HOLD:
            return RunPaused(run.fence, "lost")
        case OnLost.FAIL:
            return RunFailed(run.fence, "lost")


def _retry_at(run: RunState, context: Context) -> datetime:
    return context.now + timedelta(milliseconds=run.retry_delay_ms)


def _still_there(states: States, heard: Heard) -> bool:
    session = states.session(heard.session)
    if session is None or session.status is not SessionStatus.OPEN:
        return False
    return session.replica == heard.replica


def _was_heard_out(states: States, run: RunState, context: Context) -> bool:
    """Whether the run's agent has been there long enough to say that it began the run: one that was away may have, in silence."""
    session = states.session(run.session) if run.session is not None else None
    if session is None:
        return False
    if session.status is SessionStatus.CLOSED:
        return not session.handover
    if not _takes_work(session, context):
        return False
    return session.resumed_at is None or session.resumed_at + context.policy.hearing <= context.now


def _takes_work(session: SessionState | None, context: Context) -> bool:
    if session is None or session.status is not SessionStatus.OPEN:
        return False
    return session.expires_at is None or session.expires_at > context.now


def _present(states: States, run: UUID) -> RunState:
    state = states.run(run)
    if state is None:
        raise NotFound("There is no such run in this workspace.")
    return state


def _newest(states: States, run: UUID, fence: int) -> tuple[RunState, AttemptState]:
    state = _present(states, run)
    attempt = states.attempt(run, fence)
    if fence != state.fence or attempt is None:
        raise StaleFence("A newer grant exists.", fence=state.fence)
    return state, attempt


def _on(run: UUID, event: RunEvent) -> list[Decided]:
    return [Decided(Stream(StreamKind.RUN, run), event)]
