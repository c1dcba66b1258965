"""Which facts make the next batch, given positions and what is left of the window."""

from collections.abc import Iterable
from dataclasses import dataclass

from headway_agent.core.attempt import Attempt
from headway_agent.core.resume import Position, Reporting, bytes_in_flight

MAX_BATCH_FACTS = 256
MAX_BATCH_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Want:
    """Read facts of one attempt after a seq."""

    attempt: Attempt
    after: int
    max_items: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One batch to be: read in this order until facts or bytes run out."""

    wants: tuple[Want, ...]
    max_facts: int
    max_bytes: int
    resend: bool


def wake_at(state: Reporting, now: float) -> float | None:
    """When an attempt that was told to wait may go on."""
    waits = [
        p.not_before for p in state.positions.values() if p.not_before > now and p.durable > p.sent
    ]
    return min(waits, default=None)


def plan(state: Reporting, now: float, reserved: int = 0) -> Plan | None:
    """The next batch, or None when there is nothing to send or no credit left. `reserved` bytes of the window are
    taken by others.

    Attempts that are up to date come first, whoever was served longest ago. Attempts that catch up after an outage
    share a quarter of the window, the one nearest to its newest state first.
    """
    if not state.open:
        return None
    facts = state.credit_facts - sum(f.facts for f in state.flights.values())
    size = state.credit_bytes - bytes_in_flight(state) - reserved
    if state.flights and (facts < state.credit_facts // 8 or size < state.credit_bytes // 8):
        return None  # a scrap of the window would make scraps of batches
    waiting = [
        (attempt, p) for attempt, p in _by_turn(state) if p.durable > p.sent and now >= p.not_before
    ]
    live = [(attempt, p) for attempt, p in waiting if p.sent >= p.catch_up]
    if live:
        return _plan(live, facts, size, resend=False)
    behind = sorted(waiting, key=lambda item: item[1].durable - item[1].sent)
    resends = [flight for flight in state.flights.values() if flight.resend]
    paced_facts = max(state.credit_facts // 4, 1) - sum(f.facts for f in resends)
    paced_size = max(state.credit_bytes // 4, 1) - sum(f.size for f in resends)
    return _plan(behind, min(facts, paced_facts), min(size, paced_size), resend=True)


def _by_turn(state: Reporting) -> Iterable[tuple[Attempt, Position]]:
    return ((attempt, state.positions[attempt]) for attempt in state.order)


def _plan(
    waiting: list[tuple[Attempt, Position]], facts: int, size: int, *, resend: bool
) -> Plan | None:
    max_facts = min(facts, MAX_BATCH_FACTS)
    if not waiting or max_facts <= 0 or size <= 0:
        return None
    wants = tuple(
        Want(attempt, p.sent, min(p.durable - p.sent, max_facts)) for attempt, p in waiting
    )
    return Plan(wants, max_facts, min(size, MAX_BATCH_BYTES), resend)
