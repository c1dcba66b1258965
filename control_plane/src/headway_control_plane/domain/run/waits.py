"""Decides about runs that wait without a process: how they are suspended, and what answers them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headway_control_plane.domain.commands import AnswerRun, AttemptAsked, DeliverEvent
from headway_control_plane.domain.errors import InvalidState, NotFound
from headway_control_plane.domain.run import children
from headway_control_plane.domain.run.events import (
    RunAnswered,
    RunAsked,
    RunResumed,
    RunSuspended,
    Waiting,
)
from headway_control_plane.domain.run.state import AttemptState, RunState, RunStatus
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Context, Decided, Stream, StreamKind

_ANSWERABLE = frozenset(
    {RunStatus.PAUSED, RunStatus.SCHEDULED, RunStatus.PENDING, RunStatus.RUNNING}
)


def suspend(
    run: RunState,
    attempt: AttemptState,
    waits: Sequence[Waiting],
    states: States,
    context: Context,
) -> list[RunSuspended | RunResumed | RunAnswered]:
    """The attempt has ended so that the run may wait. What was answered, ended or ran out meanwhile lets it go on at once."""
    now = context.now
    waits = children.naming_made(run.run, waits, states)
    suspended = RunSuspended(run.fence, reason_of(waits), attempt.agent, waits)
    answered = {call for call, _ in run.answers}
    ended = children.answers_of_ended(run.run, waits, answered, states, context)
    if any(wait.call in answered or is_over(wait, now) for wait in waits):
        return [suspended, RunResumed(now), *ended]
    return [suspended, *ended]


def reason_of(waits: Sequence[Waiting]) -> str:
    """What people look for first: a question to them, then an event, then other runs, then time."""
    kinds = {wait.kind for wait in waits}
    if "input" in kinds:
        return "input"
    if "event" in kinds:
        return "event"
    if "run" in kinds:
        return "run"
    return "sleeping" if kinds else "suspended"


def is_over(wait: Waiting, now: datetime) -> bool:
    return wait.until is not None and wait.until <= now


def answer_run(command: AnswerRun, states: States, context: Context) -> list[Decided]:
    """Takes the one answer of a wait. Another attempt may run meanwhile: it is kept for when the wait is reached again."""
    run = states.run(command.run)
    if run is None:
        raise NotFound("There is no such run in this workspace.")
    if run.status is RunStatus.PAUSED and not run.is_suspended:
        raise InvalidState("The run is held: release it first.", status=run.status)
    if run.status not in _ANSWERABLE:
        raise InvalidState(f"The run does not wait: it is {run.status}.", status=run.status)
    wait = next((wait for wait in run.waits if wait.call == command.call), None)
    if wait is None:
        raise InvalidState("The run does not wait for this answer.", status=run.status)
    if any(call == command.call for call, _ in run.answers):
        raise InvalidState("This was answered before.", status=run.status)
    if wait.kind == "sleep":
        raise InvalidState("The run sleeps; nothing is asked.", status=run.status)
    if is_over(wait, context.now):
        raise InvalidState("The time for an answer is over.", status=run.status)
    event = RunAnswered(command.call, command.value, context.now)
    return [Decided(Stream(StreamKind.RUN, run.run), event)]


def attempt_asked(command: AttemptAsked, states: States) -> list[Decided]:
    """The newest attempt asks and goes on waiting in its process. Who asks what was answered before gets that answer."""
    run, attempt = states.run(command.run), states.attempt(command.run, command.fence)
    if run is None or attempt is None or not attempt.is_open or run.fence != command.fence:
        return []
    if run.status not in {RunStatus.PENDING, RunStatus.RUNNING}:
        return []  # it is being ended: nothing is asked any more
    event = RunAsked(run.fence, (command.wait,))
    return [Decided(Stream(StreamKind.RUN, run.run), event)]


def deliver_event(command: DeliverEvent, states: States, context: Context) -> list[Decided]:
    """Answers each run that waits for the topic now, once for each of its waits. What comes later it does not reach."""
    return [
        Decided(Stream(StreamKind.RUN, run.run), RunAnswered(wait.call, command.value, context.now))
        for run in states.runs()
        if run.is_suspended
        for wait in run.waits
        if wait.topic == command.topic
        and not is_over(wait, context.now)
        and all(call != wait.call for call, _ in run.answers)
    ]
