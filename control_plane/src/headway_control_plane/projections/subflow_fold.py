"""The fold of facts into sub-flows as a list shows them: one row a call, as the run's newest attempt has it. Pure.

`task_timeline` has a row for each attempt. A sub-flow is looked at like a run, so here it has one, which follows the attempts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeGuard
from uuid import UUID

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.application.ports import Recorded
from headway_control_plane.projections.read_model import BrokenEvent
from headway_control_plane.projections.task_fold import (
    PAUSED,
    UNDER_WAY,
    Attempt,
    CallFact,
    CallRow,
    Parsed,
    fold_fact,
    status_at_end,
)

LISTED_PER_RUN = 100
"""A list of many runs shows so many sub-flows of each; the run's own page shows all."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SubflowKey(NamedTuple):
    """A sub-flow within its run; its key stays the same over attempts."""

    run: UUID
    call: bytes


@dataclass(slots=True)
class Subflow:
    """A row of `subflow`: the call as attempt `fence` has it, at its place in the list."""

    place: UUID
    fence: int
    row: CallRow


class Wanted(NamedTuple):
    """What the fold must know: single sub-flows, and those under way in runs of which an attempt ends."""

    keys: set[SubflowKey]
    ended: set[UUID]


def _is_flow(fact: CallFact) -> TypeGuard[facts.CallStarted | facts.CallRetrying | facts.CallEnded]:
    """Whether a fact is of a sub-flow; ranges are of tasks."""
    return not isinstance(fact, facts.CallsEnded) and fact.kind == facts.CALL_KIND_FLOW


def wanted(parsed: Iterable[Parsed]) -> Wanted:
    """Say which rows a fold needs loaded."""
    needs = Wanted(set(), set())
    for item in parsed:
        if item.fact is None:
            needs.ended.add(item.attempt.run)
        elif _is_flow(item.fact):
            needs.keys.add(SubflowKey(item.attempt.run, item.fact.call))
    return needs


def fold(
    parsed: Sequence[Parsed], rows: dict[SubflowKey, Subflow], listed: Mapping[UUID, int]
) -> None:
    """Bring rows up to date; `rows` holds those of `wanted` that exist, `listed` how many rows each run of `keys` has."""
    count = dict(listed)
    by_run: dict[UUID, set[SubflowKey]] = {}
    for key in rows:
        by_run.setdefault(key.run, set()).add(key)
    for item in parsed:
        run, fence = item.attempt
        if item.fact is None:
            for key in by_run.get(run, ()):
                _end(rows[key], fence, item.event)
        elif _is_flow(item.fact):
            key = SubflowKey(run, item.fact.call)
            if key not in rows:
                if count.get(run, 0) >= LISTED_PER_RUN:
                    continue
                count[run] = count.get(run, 0) + 1
                by_run.setdefault(run, set()).add(key)
            rows[key] = _fold_one(rows.get(key), key, item.attempt, item)


def _fold_one(held: Subflow | None, key: SubflowKey, attempt: Attempt, item: Parsed) -> Subflow:
    assert item.fact is not None
    if held is not None and attempt.fence < held.fence:
        return held
    again = held is not None and attempt.fence > held.fence
    before = None if held is None or again else held.row
    try:
        row = fold_fact(before, item.event, item.fact)
    except Exception as error:
        raise BrokenEvent(item.event, error) from error
    if held is None:
        return Subflow(place_of(key, row.started_at, item.event.recorded_at), attempt.fence, row)
    row.first_offset = min(row.first_offset, held.row.first_offset)
    return Subflow(held.place, attempt.fence, row)


def _end(held: Subflow, fence: int, event: Recorded) -> None:
    """An attempt is over: what it, or one before it, had under way goes on in none."""
    if held.fence > fence or held.row.status not in UNDER_WAY:
        return
    status = status_at_end(event)
    if status == PAUSED and held.fence < fence:
        return  # its run waits again, before it came to this call
    held.row.status = status
    held.row.ended_at = None if status == PAUSED else max(event.occurred_at, held.row.started_at)


def place_of(key: SubflowKey, started_at: datetime, recorded_at: datetime) -> UUID:
    """Return a sub-flow's place among runs, whose ids begin with the millisecond in which they were made.

    An agent's clock counts as far as it can be true: not behind what was recorded, and not where the pool withholds times.
    """
    at = started_at if _EPOCH + timedelta(days=1) < started_at <= recorded_at else recorded_at
    milliseconds = min(max(int((at - _EPOCH) / timedelta(milliseconds=1)), 0), (1 << 48) - 1)
    rest = hashlib.sha256(key.run.bytes + key.call).digest()[:10]
    return UUID(bytes=milliseconds.to_bytes(6) + rest)
