"""Which facts to send next, and what each answer changes.

Files hold every fact until the control plane has it. This module keeps one position per attempt - what is durable
here, sent, acknowledged - and one window of credits for the stream. A lost stream loses nothing: positions go
back to what was acknowledged. Nothing here stops a running attempt but FENCED and UNKNOWN.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import assert_never

from headway_agent.core.attempt import Attempt

POISON_PAUSE = 60.0
"""Seconds before a fact is tried again whose replacement was refused as well: an answer like that never loops."""


class Verdict(Enum):
    OK = "ok"
    GAP = "gap"
    FENCED = "fenced"
    POISON = "poison"
    RETRY = "retry"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Position:
    """One attempt. `durable` >= `sent` >= `acked`, but while the control plane asks for facts anew."""

    durable: int = 0
    sent: int = 0
    acked: int = 0
    alive: bool = True
    # Resending until here is paced.
    catch_up: int = 0
    # Answers GAP and RETRY to batches up to this one are already acted upon.
    settled: int = 0
    not_before: float = 0.0
    # A newer grant exists: what is sent is kept as late, the answers no longer say how far.
    fenced: bool = False
    # Seqs that are sent as FactDropped, and why.
    dropped: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Span:
    """Facts of one attempt in one batch."""

    attempt: Attempt
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Flight:
    """A batch without answer."""

    spans: tuple[Span, ...]
    facts: int
    size: int
    resend: bool


@dataclass(frozen=True, slots=True)
class Reporting:
    """`order` is the turn: attempts that were served longest ago come first."""

    open: bool = False
    credit_facts: int = 0
    credit_bytes: int = 0
    next_batch: int = 1
    positions: Mapping[Attempt, Position] = field(default_factory=lambda: MappingProxyType({}))
    flights: Mapping[int, Flight] = field(default_factory=lambda: MappingProxyType({}))
    order: tuple[Attempt, ...] = ()


# Inputs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Have:
    """What the runner holds: durable facts, and whether a process lives. `acked` counts for new attempts alone."""

    attempt: Attempt
    durable: int
    acked: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Holding:
    """Everything the runner holds. What is missing is closed."""

    attempts: tuple[Have, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the control plane says of one attempt, in Welcome or in an Ack."""

    attempt: Attempt
    verdict: Verdict
    last: int
    reason: str = ""
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Welcomed:
    credit_facts: int
    credit_bytes: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch left. `batch` is `next_batch` of the state it was planned from."""

    spans: tuple[Span, ...]
    size: int
    resend: bool


@dataclass(frozen=True, slots=True)
class Acked:
    batch: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream ended."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The log has another epoch: it may lack what it acknowledged. Until it says what it has, nothing counts."""


Input = Holding | Welcomed | Sent | Acked | Lost | Restored


# Effects ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """Facts up to `seq` are in the log: write it down."""

    attempt: Attempt
    seq: int


@dataclass(frozen=True, slots=True)
class Kill:
    """A newer grant exists: end the process; its facts still go out, as late ones."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Close:
    """End the process and report no more."""

    attempt: Attempt
    reason: str


@dataclass(frozen=True, slots=True)
class Warn:
    """Something an operator should read."""

    attempt: Attempt
    text: str


Effect = Record | Kill | Close | Warn
Effects = tuple[Effect, ...]


def step(state: Reporting, now: float, given: Input) -> tuple[Reporting, Effects]:
    match given:
        case Holding(attempts):
            return _holding(state, attempts)
        case Welcomed():
            return _welcomed(state, now, given)
        case Sent(spans, size, resend):
            return _sent(state, spans, size, resend=resend), ()
        case Acked(batch, answers):
            return _acked(state, now, batch, answers)
        case Lost():
            return _lost(state), ()
        case Restored():
            return _restored(state), ()
        case _:
            assert_never(given)


def bytes_in_flight(state: Reporting) -> int:
    return sum(flight.size for flight in state.flights.values())


def _holding(state: Reporting, attempts: tuple[Have, ...]) -> tuple[Reporting, Effects]:
    positions = {have.attempt: _seen(state.positions.get(have.attempt), have) for have in attempts}
    if positions == state.positions:
        return state, _closings(state, positions)
    new = tuple(attempt for attempt in positions if attempt not in state.positions)
    state = replace(
        state,
        positions=MappingProxyType(positions),
        order=(*(a for a in state.order if a in positions), *new),
    )
    return state, _closings(state, positions)


def _seen(known: Position | None, have: Have) -> Position:
    if known is None:
        return Position(have.durable, have.acked, have.acked, have.alive)
    if known.durable >= have.durable and known.alive == have.alive:
        return known
    return replace(known, durable=max(known.durable, have.durable), alive=have.alive)


def _welcomed(state: Reporting, now: float, given: Welcomed) -> tuple[Reporting, Effects]:
    state = replace(
        _lost(state), open=True, credit_facts=given.credit_facts, credit_bytes=given.credit_bytes
    )
    # Welcome says where to go on, be it ahead of our notes (an answer was lost) or behind them (a restored log).
    answers = tuple(
        replace(a, verdict=Verdict.GAP) if a.verdict is Verdict.OK else a for a in given.answers
    )
    state, effects = _answered(state, now, answers, batch=state.next_batch)
    positions = {a: replace(p, catch_up=p.durable) for a, p in state.positions.items()}
    return replace(state, positions=MappingProxyType(positions)), effects


def _lost(state: Reporting) -> Reporting:
    positions = {a: replace(p, sent=p.acked, not_before=0.0) for a, p in state.positions.items()}
    return replace(
        state,
        open=False,
        positions=MappingProxyType(positions),
        flights=MappingProxyType({}),
    )


def _restored(state: Reporting) -> Reporting:
    positions = {
        a: Position(durable=p.durable, alive=p.alive, dropped=p.dropped)
        for a, p in state.positions.items()
    }
    return replace(_lost(state), positions=MappingProxyType(positions))


def _sent(state: Reporting, spans: tuple[Span, ...], size: int, *, resend: bool) -> Reporting:
    positions = dict(state.positions)
    for span in spans:
        positions[span.attempt] = replace(positions[span.attempt], sent=span.last)
    served = {span.attempt for span in spans}
    facts = sum(span.last - span.first + 1 for span in spans)
    flight = Flight(spans, facts, size, resend)
    return replace(
        state,
        next_batch=state.next_batch + 1,
        positions=MappingProxyType(positions),
        flights=MappingProxyType({**state.flights, state.next_batch: flight}),
        order=(*(a for a in state.order if a not in served), *(s.attempt for s in spans)),
    )


def _acked(
    state: Reporting, now: float, batch: int, answers: tuple[Answer, ...]
) -> tuple[Reporting, Effects]:
    flight = state.flights.get(batch)
    if flight is None:
        return state, ()
    flights = {number: f for number, f in state.flights.items() if number != batch}
    state = replace(state, flights=MappingProxyType(flights))
    ends = {span.attempt: span.last for span in flight.spans}
    # Late facts are kept, not counted: such an answer covers what the batch held.
    answers = tuple(
        replace(a, last=ends.get(a.attempt, 0)) if a.verdict is Verdict.FENCED else a
        for a in answers
    )
    return _answered(state, now, answers, batch)


def _answered(
    state: Reporting, now: float, answers: tuple[Answer, ...], batch: int
) -> tuple[Reporting, Effects]:
    positions = dict(state.positions)
    effects: list[Effect] = []
    for answer in answers:
        before = positions.get(answer.attempt)
        if before is None:
            continue
        after, said = _answer(before, now, answer, batch, state.next_batch - 1)
        positions[answer.attempt] = after
        if after.acked > before.acked:
            effects.append(Record(answer.attempt, after.acked))
        effects.extend(said)
    state = replace(state, positions=MappingProxyType(positions))
    answered = {a.attempt: positions[a.attempt] for a in answers if a.attempt in positions}
    return state, (*effects, *_closings(state, answered))


def _answer(
    position: Position, now: float, answer: Answer, batch: int, newest_batch: int
) -> tuple[Position, Effects]:
    attempt, reason = answer.attempt, answer.reason
    fresh = batch > position.settled
    match answer.verdict:
        case Verdict.OK:
            return _forward(position, answer.last), ()
        case Verdict.GAP if fresh:
            return _rewind(position, answer.last, newest_batch), ()
        case Verdict.RETRY if fresh:
            back = _rewind(position, max(position.acked, answer.last), newest_batch)
            return replace(back, not_before=now + answer.retry_after), ()
        case Verdict.POISON if fresh:
            return _poisoned(position, now, answer, newest_batch)
        case Verdict.FENCED:
            late = replace(_forward(position, answer.last), fenced=True)
            told = () if position.fenced else (Kill(attempt),)
            return late, told
        case Verdict.UNKNOWN:
            text = reason or "the control plane knows no such run"
            return position, (Close(attempt, text),)
        case _:
            return position, ()


def _forward(position: Position, last: int) -> Position:
    """Facts up to `last` are there. The control plane can know more than we noted: an answer was lost."""
    acked = max(position.acked, min(last, position.durable))
    dropped = position.dropped
    if dropped and acked > position.acked:
        dropped = MappingProxyType({seq: why for seq, why in dropped.items() if seq > acked})
    return replace(position, acked=acked, sent=max(position.sent, acked), dropped=dropped)


def _rewind(position: Position, last: int, newest_batch: int) -> Position:
    """Go on after `last`. Batches that are on their way will miss the same fact: their answers change nothing.

    `last` can lie below what was acknowledged when the control plane was restored with a loss; then it gets again
    what the files still hold.
    """
    acked = max(position.acked, min(last, position.durable))
    return replace(position, sent=min(last, position.durable), acked=acked, settled=newest_batch)


def _poisoned(
    position: Position, now: float, answer: Answer, newest_batch: int
) -> tuple[Position, Effects]:
    seq = answer.last + 1
    back = _rewind(position, answer.last, newest_batch)
    if seq in position.dropped:
        text = f"fact {seq} and its replacement were refused: {answer.reason}"
        return replace(back, not_before=now + POISON_PAUSE), (Warn(answer.attempt, text),)
    text = f"fact {seq} was refused ({answer.reason}); FactDropped takes its place"
    dropped = MappingProxyType({**position.dropped, seq: answer.reason})
    return replace(back, dropped=dropped), (Warn(answer.attempt, text),)


def _closings(state: Reporting, positions: Mapping[Attempt, Position]) -> Effects:
    """A fenced attempt is over once its process is dead and all its facts were sent as late ones."""
    if not state.open:
        return ()
    return tuple(
        Close(attempt, "a newer attempt took over")
        for attempt, p in positions.items()
        if p.fenced and not p.alive and p.acked >= p.durable
    )
