"""Runs that runs asked for: which id such a run may have, and how its end answers the call that waits for it. See adr/0006."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from headway_control_plane.domain.run.events import (
    RunAnswered,
    RunCancelled,
    RunCompleted,
    RunCrashed,
    RunFailed,
    Waiting,
)
from headway_control_plane.domain.run.state import RunState, RunStatus
from headway_control_plane.domain.streams import Blob, Context, Decided, Stream, StreamKind

if TYPE_CHECKING:
    from headway_control_plane.domain.states import States

End = RunCompleted | RunFailed | RunCrashed | RunCancelled
_STATES: dict[type, RunStatus] = {
    RunCompleted: RunStatus.COMPLETED,
    RunFailed: RunStatus.FAILED,
    RunCrashed: RunStatus.CRASHED,
    RunCancelled: RunStatus.CANCELLED,
}
DEEPEST = 20
"""How many runs may stand above one another: one that starts itself without end is stopped here."""
MOST_OF_A_CLASS = 200
"""Of the name of an error's class, in what a parent is told: a thousand answers go to its next attempt in one message."""


_RANDOM_BITS = 74


def is_child_id(run: UUID, parent: UUID, call: bytes) -> bool:
    """Whether a call of this parent may ask for a run of this id. Its time is the asking agent's, what tells it apart is not."""
    digest = int.from_bytes(hashlib.sha256(parent.bytes + call).digest()) >> 256 - _RANDOM_BITS
    random_a, random_b = digest >> 62, digest & (1 << 62) - 1
    return run.int & (1 << 80) - 1 == 7 << 76 | random_a << 64 | 0b10 << 62 | random_b


def answers_to_parents(
    decided: Iterable[Decided], states: States, context: Context
) -> list[Decided]:
    """What the ends among these events answer to runs that wait for them. One that does not wait yet finds the end when it does."""
    answers = []
    for one in decided:
        if type(one.event) not in _STATES:
            continue
        child = states.run(one.stream.id)
        if child is None:
            continue
        told = _told(child, _STATES[type(one.event)], _error_class(one.event))
        for asker, call in sorted(states.askers(child)):
            parent = states.run(asker)
            if parent is not None and _waits_for(parent, call, context):
                event = RunAnswered(call, told, context.now + _pause(parent, {call}, context))
                answers.append(Decided(Stream(StreamKind.RUN, parent.run), event))
    return answers


def naming_made(parent: UUID, waits: Iterable[Waiting], states: States) -> tuple[Waiting, ...]:
    """The waits, naming the runs that were made for their calls.

    An attempt names what its journal knows. One on another agent than the first has none of it, and a later time in the id.
    """
    made = {
        call: child.run
        for child in states.runs()
        for asker, call in states.askers(child)
        if asker == parent
    }
    return tuple(
        replace(wait, run=made[wait.call]) if wait.kind == "run" and wait.call in made else wait
        for wait in waits
    )


def answers_of_ended(
    parent: UUID,
    waits: Sequence[Waiting],
    answered: Collection[bytes],
    states: States,
    context: Context,
) -> list[RunAnswered]:
    """For a run that begins to wait: the ends that came before it did. `answered`: calls whose answers it has."""
    ended = {}
    for wait in waits:
        child = states.run(wait.run) if wait.run is not None else None
        if child is None or (parent, wait.call) not in states.askers(child):
            continue
        if child.is_terminal and wait.call not in answered:
            ended[wait.call] = _told(child, child.status, child.error_class)
    out = sum(w.kind == "run" and w.call not in ended and w.call not in answered for w in waits)
    due_at = context.now + context.policy.gather(out) if out else context.now
    return [RunAnswered(call, told, due_at) for call, told in ended.items()]


def _waits_for(parent: RunState, call: bytes, context: Context) -> bool:
    if parent.is_terminal or parent.status is RunStatus.CANCELLING:
        return False
    if any(answered == call for answered, _ in parent.answers):
        return False
    return any(
        wait.call == call
        and wait.kind == "run"
        and (wait.until is None or wait.until > context.now)
        for wait in parent.waits
    )


def _pause(parent: RunState, ended: Collection[bytes], context: Context) -> timedelta:
    known = {call for call, _ in parent.answers}.union(ended)
    out = sum(wait.kind == "run" and wait.call not in known for wait in parent.waits)
    return context.policy.gather(out) if out else timedelta()


def _told(child: RunState, state: RunStatus, error_class: str) -> Blob:
    """What the call gives back. A result stays where it is: this says where that was made."""
    told = {
        "run": str(child.run),
        "name": child.name,
        "state": state.value,
        "error_class": error_class[:MOST_OF_A_CLASS],
        "fence": child.fence,
    }
    return Blob.of(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode())


def _error_class(event: End) -> str:
    return event.error_class if isinstance(event, RunFailed) else ""
