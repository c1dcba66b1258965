"""The fold of facts into calls: pure, and indifferent to the order in which one call's facts come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.application.ports import Recorded
from headway_control_plane.projections import packed_calls
from headway_control_plane.projections.packed_calls import KEY_BYTES, LATEST_US, instant
from headway_control_plane.projections.read_model import BrokenEvent

KEPT_RETRIES = 20
OPEN = frozenset({"running", "retrying"})
PAUSED = "paused"
"""Its attempt was suspended while it was open: it waits with its run, and the next attempt goes on with it."""
UNDER_WAY = OPEN | {PAUSED}
STATUSES = (
    "running", "retrying", "completed", "failed", "cancelled", "skipped", "interrupted", PAUSED,
)  # fmt: skip

_CALL_FACTS = frozenset({"CallStarted", "CallRetrying", "CallEnded", "CallsEnded"})
# Each says that an attempt is over. A fact counts for its own stream's attempt, a run's event for the fence that it names.
_ATTEMPT_ENDS = frozenset(
    {"AttemptExited", "RunRescheduled", "RunCompleted", "RunFailed", "RunCrashed", "RunCancelled"}
)
_OUTCOMES = {
    facts.CALL_OUTCOME_COMPLETED: "completed",
    facts.CALL_OUTCOME_FAILED: "failed",
    facts.CALL_OUTCOME_CANCELLED: "cancelled",
    facts.CALL_OUTCOME_SKIPPED: "skipped",
}
SKIP_CAUSES = frozenset({"cached", "target"})
"""Causes of a skip, and where its result is `from`: the cache, or what the task makes; else an earlier attempt."""
_KINDS: dict[int, str] = {
    facts.CALL_KIND_FLOW: "flow",
    facts.CALL_KIND_TASK: "task",
    facts.CALL_KIND_TRANSACTION: "transaction",
}
_MOST_TRIES = 2**31 - 1
_LONGEST_DELAY_US = int(timedelta(days=366) / timedelta(microseconds=1))

CallFact = facts.CallStarted | facts.CallRetrying | facts.CallEnded | facts.CallsEnded


class Attempt(NamedTuple):
    """One attempt of a run."""

    run: UUID
    fence: int


class Call(NamedTuple):
    """One call within an attempt."""

    attempt: Attempt
    call: bytes


@dataclass(slots=True)
class Retry:
    """A try that failed, and the wait that followed."""

    number: int
    at: datetime
    delay_us: int
    error_class: str


@dataclass(slots=True)
class CallRow:
    """A row of `task_timeline`. An empty parent, name or kind means that no fact named it yet, or that the pool withholds it.

    A range of calls is one row, under the key of its first call.
    """

    parent: bytes
    kind: str
    name: str
    status: str
    first_offset: int
    started_at: datetime
    ended_at: datetime | None = None
    tries: int = 1
    retries: list[Retry] = field(default_factory=list)
    error_class: str = ""
    error_text: bytes = b""
    result: dict[str, object] | None = None
    calls: int = 1
    run_name: bytes = b""
    busy_us: int | None = None
    median_us: int | None = None
    longest_us: int | None = None
    packed: bytes | None = None


class Standing(NamedTuple):
    """For how many calls a row stands, and in which status they are."""

    status: str
    calls: int


class Wanted(NamedTuple):
    """What the fold of some events must know: single calls, and the calls under way of attempts that end."""

    calls: set[Call]
    ended: set[Attempt]


@dataclass(slots=True)
class Parsed:
    """An event that the fold reacts to."""

    event: Recorded
    attempt: Attempt
    fact: CallFact | None  # None: the attempt is over


def parse(events: Iterable[Recorded]) -> list[Parsed]:
    """Pick out and decode what concerns calls. Raises BrokenEvent."""
    parsed = []
    for event in events:
        if event.type not in _CALL_FACTS and event.type not in _ATTEMPT_ENDS:
            continue
        try:
            one = _parse(event)
        except Exception as error:
            raise BrokenEvent(event, error) from error
        if one is not None:
            parsed.append(one)
    return parsed


def _parse(event: Recorded) -> Parsed | None:
    """What an event says of calls; None for one of a version that this code does not know."""
    body = event.decode()
    if body is None:
        return None
    if event.type in _CALL_FACTS:
        return Parsed(event, Attempt(event.stream.id, event.stream.fence), body)
    fence = event.stream.fence if event.is_fact else body.fence
    return Parsed(event, Attempt(event.stream.id, fence), None)


def wanted(parsed: Iterable[Parsed]) -> Wanted:
    """Say which rows a fold needs loaded."""
    needs = Wanted(set(), set())
    for item in parsed:
        if item.fact is None:
            needs.ended.add(item.attempt)
        else:
            needs.calls.add(Call(item.attempt, _key(item.fact)))
    return needs


def fold(parsed: Sequence[Parsed], rows: dict[Call, CallRow]) -> None:
    """Bring rows up to date; `rows` holds those of `wanted` that exist, and afterwards all that the events touched."""
    by_attempt: dict[Attempt, set[Call]] = {}
    for call in rows:
        by_attempt.setdefault(call.attempt, set()).add(call)
    for item in parsed:
        if item.fact is None:
            for call in by_attempt.get(item.attempt, ()):
                _leave(rows[call], item.event)
            continue
        call = Call(item.attempt, _key(item.fact))
        by_attempt.setdefault(item.attempt, set()).add(call)
        try:
            rows[call] = fold_fact(rows.get(call), item.event, item.fact)
        except Exception as error:
            raise BrokenEvent(item.event, error) from error


def fold_fact(row: CallRow | None, event: Recorded, fact: CallFact) -> CallRow:
    """Bring one call's row up to date; None is a call that nothing was heard of before."""
    if row is None:
        row = CallRow(
            fact.parent,
            _kind(fact.kind),
            _text(fact.name),
            "running",
            event.cursor.offset,
            event.occurred_at,
        )
    else:
        row.parent = row.parent or fact.parent
        row.kind = row.kind or _kind(fact.kind)
        row.name = row.name or _text(fact.name)
        row.first_offset = min(row.first_offset, event.cursor.offset)
    if not isinstance(fact, facts.CallsEnded):
        row.run_name = row.run_name or fact.run_name_digest
    match fact:
        case facts.CallStarted():
            row.started_at = min(row.started_at, event.occurred_at)
        case facts.CallRetrying():
            _retry(row, event, fact)
        case facts.CallEnded():
            _end(row, event, fact)
        case facts.CallsEnded():
            _end_range(row, event, fact)
    return row


def _key(fact: CallFact) -> bytes:
    """By what a fact's row is found."""
    return fact.calls[:KEY_BYTES] if isinstance(fact, facts.CallsEnded) else fact.call


def standing(row: CallRow) -> Standing:
    """Return what a row counts for."""
    return Standing(row.status, row.calls)


def _retry(row: CallRow, event: Recorded, fact: facts.CallRetrying) -> None:
    if row.status in OPEN:
        row.status = "retrying"
        row.tries = max(row.tries, min(getattr(fact, "try"), _MOST_TRIES - 1) + 1)
    number = getattr(fact, "try")  # a keyword in Python
    if len(row.retries) < KEPT_RETRIES and all(kept.number != number for kept in row.retries):
        delay_us = min(max(fact.delay_us, 0), _LONGEST_DELAY_US)
        why = _text(fact.error.error_class)
        row.retries.append(Retry(number, event.occurred_at, delay_us, why))
        row.retries.sort(key=lambda kept: kept.number)


def _end(row: CallRow, event: Recorded, fact: facts.CallEnded) -> None:
    row.status = _OUTCOMES.get(fact.outcome, "failed")
    if 0 < fact.started_at_us < LATEST_US:
        row.started_at = instant(fact.started_at_us)
    row.ended_at = event.occurred_at
    row.tries = fact.tries
    row.error_class = _text(fact.error.error_class)
    row.error_text = fact.error.text_digest
    row.result = _result(fact.result) if fact.HasField("result") else None
    if row.result is not None and fact.cause in SKIP_CAUSES:
        row.result["from"] = fact.cause


def _end_range(row: CallRow, event: Recorded, fact: facts.CallsEnded) -> None:
    row.status = _OUTCOMES.get(fact.outcome, "failed")
    row.calls = packed_calls.size(fact)
    row.ended_at = event.occurred_at
    row.result = _result(facts.Result(codec=fact.codec, size_bytes=fact.size_bytes))
    row.packed = packed_calls.pack(fact)
    told = packed_calls.spread(fact)
    if told is not None:
        row.started_at, row.ended_at = instant(told.started_us), instant(told.ended_us)
        row.busy_us, row.median_us, row.longest_us = told.busy_us, told.median_us, told.longest_us


def _leave(row: CallRow, event: Recorded) -> None:
    """The attempt is over: what it had under way stands as the end says."""
    if row.status in UNDER_WAY:
        row.status = status_at_end(event)
        row.ended_at = None if row.status == PAUSED else max(event.occurred_at, row.started_at)


def status_at_end(event: Recorded) -> str:
    """Return how calls stand that were under way when an attempt ended like this."""
    if event.type == "RunCancelled":
        return "cancelled"
    if event.type == "AttemptExited":
        outcome = event.decode().outcome
        if outcome == facts.ATTEMPT_OUTCOME_SUSPENDED:
            return PAUSED
        if outcome == facts.ATTEMPT_OUTCOME_CANCELLED:
            return "cancelled"
    return "interrupted"


def _kind(kind: int) -> str:
    return _KINDS.get(kind, "")


def _text(value: str) -> str:
    """Return what a text column can hold: all but NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _result(result: facts.Result) -> dict[str, object]:
    return {
        "codec": _text(result.codec),
        "size_bytes": result.size_bytes,
        "digest": result.digest.hex(),
        "reference": _text(result.reference),
        "preview_digest": result.preview_digest.hex(),
    }


def count_changes(
    before: Mapping[Call, Standing], after: Mapping[Call, CallRow]
) -> dict[Attempt, dict[str, int]]:
    """Return by how much each attempt's number of calls in a status has changed."""
    changes: dict[Attempt, dict[str, int]] = {}
    for call, row in after.items():
        old, new = before.get(call), standing(row)
        if old == new:
            continue
        change = changes.setdefault(call.attempt, dict.fromkeys(STATUSES, 0))
        change[new.status] += new.calls
        if old is not None:
            change[old.status] -= old.calls
    return changes
