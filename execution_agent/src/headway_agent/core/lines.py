"""Which lines of output to send next. Lines are no events: they go after facts, one batch an attempt at a time, and
when far too many wait the oldest are skipped, with a marker in their place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import assert_never

from headway_agent.core.attempt import Attempt

MOST_WAITING = 1_000_000
"""Lines of one attempt that may wait; beyond it the oldest are skipped."""
KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Position:
    durable: int = 0
    acked: int = 0
    # The last line of the batch without answer, and its size; 0 when there is none.
    flying: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Lines:
    open: bool = False
    permitted: bool = False
    positions: Mapping[Attempt, Position] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Have:
    attempt: Attempt
    last_line: int
    acked_line: int


@dataclass(frozen=True, slots=True)
class Holding:
    attempts: tuple[Have, ...]


@dataclass(frozen=True, slots=True)
class Welcomed:
    """`stored` is the last line that the control plane has of each attempt."""

    permitted: bool
    stored: Mapping[Attempt, int]


@dataclass(frozen=True, slots=True)
class Sent:
    attempt: Attempt
    last: int
    size: int


@dataclass(frozen=True, slots=True)
class Acked:
    attempt: Attempt
    last: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream ended."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The log has another epoch: it may lack lines that it acknowledged."""


Input = Holding | Welcomed | Sent | Acked | Lost | Restored


@dataclass(frozen=True, slots=True)
class Record:
    """Lines up to `line` are stored, or shall never be sent."""

    attempt: Attempt
    line: int


@dataclass(frozen=True, slots=True)
class Want:
    """Read lines after `after`. Those up to `skip_to` are not sent; a marker stands for them."""

    attempt: Attempt
    after: int
    skip_to: int = 0


def step(state: Lines, given: Input) -> tuple[Lines, tuple[Record, ...]]:
    match given:
        case Holding(attempts):
            return _withheld(_holding(state, attempts))
        case Welcomed(permitted, stored):
            positions = {
                a: Position(p.durable, min(max(stored.get(a, p.acked), 0), p.durable))
                for a, p in state.positions.items()
            }
            opened = Lines(open=True, permitted=permitted, positions=MappingProxyType(positions))
            # More is stored than we had noted: an answer was lost, and no other will ever say so.
            learnt = tuple(
                Record(a, p.acked)
                for a, p in positions.items()
                if p.acked > state.positions[a].acked
            )
            opened, withheld = _withheld(opened)
            return opened, (*learnt, *withheld)
        case Sent(attempt, last, size):
            flying = replace(state.positions[attempt], flying=last, size=size)
            return _put(state, attempt, flying), ()
        case Acked(attempt, last):
            known = state.positions.get(attempt)
            if known is None:
                return state, ()
            acked = min(max(last, 0), known.durable)
            return _put(state, attempt, Position(known.durable, acked)), (Record(attempt, acked),)
        case Lost():
            landed = {a: replace(p, flying=0, size=0) for a, p in state.positions.items()}
            return replace(state, open=False, positions=MappingProxyType(landed)), ()
        case Restored():
            unacked = {a: Position(p.durable) for a, p in state.positions.items()}
            return replace(state, open=False, positions=MappingProxyType(unacked)), ()
        case _:
            assert_never(given)


def bytes_in_flight(state: Lines) -> int:
    return sum(p.size for p in state.positions.values())


def plan(state: Lines) -> tuple[Want, ...]:
    """What to read, the attempt with the fewest waiting lines first."""
    if not state.open or not state.permitted:
        return ()
    waiting = [(a, p) for a, p in state.positions.items() if p.durable > p.acked and not p.flying]
    waiting.sort(key=lambda item: item[1].durable - item[1].acked)
    return tuple(
        Want(a, p.acked, p.durable - KEPT if p.durable - p.acked > MOST_WAITING else 0)
        for a, p in waiting
    )


def _put(state: Lines, attempt: Attempt, position: Position) -> Lines:
    return replace(state, positions=MappingProxyType({**state.positions, attempt: position}))


def _holding(state: Lines, attempts: tuple[Have, ...]) -> Lines:
    positions = {have.attempt: _seen(state.positions.get(have.attempt), have) for have in attempts}
    if positions == state.positions:
        return state
    return replace(state, positions=MappingProxyType(positions))


def _seen(known: Position | None, have: Have) -> Position:
    if known is None:
        return Position(have.last_line, have.acked_line)
    if known.durable >= have.last_line:
        return known
    return replace(known, durable=have.last_line)


def _withheld(state: Lines) -> tuple[Lines, tuple[Record, ...]]:
    """Where lines stay with the customer none of them ever waits."""
    if not state.open or state.permitted:
        return state, ()
    done = tuple(Record(a, p.durable) for a, p in state.positions.items() if p.durable > p.acked)
    if not done:
        return state, ()
    positions = {a: Position(p.durable, p.durable) for a, p in state.positions.items()}
    return replace(state, positions=MappingProxyType(positions)), done
