"""The one table of what may follow what in a run's life. Deciders propose, `target` refuses what the table does not hold."""

from __future__ import annotations

from headway_control_plane.domain.errors import IllegalTransition
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
)
from headway_control_plane.domain.run.state import RunStatus as S

# None as a target: the state before the loss, pending or running, as the attempt had got.
TRANSITIONS: dict[S | None, dict[type, S | None]] = {
    None: {RunCreated: S.SCHEDULED},
    S.SCHEDULED: {
        RunGranted: S.PENDING,
        RunReattached: None,
        RunAnswered: S.SCHEDULED,
        # The agent with its journal stays away, or a person does not wait for it.
        RunRescheduled: S.SCHEDULED,
        RunPaused: S.PAUSED,
        RunFailed: S.FAILED,
        RunCancelRequested: S.CANCELLING,
    },
    S.PENDING: {
        RunStarted: S.RUNNING,
        RunReattached: S.PENDING,
        RunRescheduled: S.SCHEDULED,
        RunPaused: S.PAUSED,
        RunSuspended: S.PAUSED,
        RunAsked: S.PENDING,
        RunAnswered: S.PENDING,
        RunCancelRequested: S.CANCELLING,
        RunFailed: S.FAILED,
        RunCrashed: S.CRASHED,
    },
    S.RUNNING: {
        RunReattached: S.RUNNING,
        RunRescheduled: S.SCHEDULED,
        RunPaused: S.PAUSED,
        RunSuspended: S.PAUSED,
        RunAsked: S.RUNNING,
        RunAnswered: S.RUNNING,
        RunCancelRequested: S.CANCELLING,
        RunCompleted: S.COMPLETED,
        RunFailed: S.FAILED,
        RunCrashed: S.CRASHED,
    },
    S.PAUSED: {
        RunResumed: S.SCHEDULED,
        # Or as it was: held, or about to go on with what several runs answer.
        RunAnswered: S.SCHEDULED,
        RunRescheduled: S.SCHEDULED,
        RunReattached: None,
        RunCancelRequested: S.CANCELLING,
        RunFailed: S.FAILED,
    },
    S.CANCELLING: {
        RunStarted: S.CANCELLING,
        RunReattached: S.CANCELLING,
        RunCancelled: S.CANCELLED,
        RunCompleted: S.COMPLETED,
    },
    S.COMPLETED: {},
    S.FAILED: {},
    S.CRASHED: {},
    S.CANCELLED: {},
}


def target(status: S | None, event: RunEvent) -> S | None:
    """The state that `event` leads to, or None where it leads back to the state before a loss.

    Raises:
        IllegalTransition: the table has no such move.
    """
    try:
        return TRANSITIONS[status][type(event)]
    except KeyError:
        raise IllegalTransition(f"{type(event).__name__} in state {status}") from None
