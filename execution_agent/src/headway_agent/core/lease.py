"""The session's lease as the agent may trust it.

The database alone decides when a lease ends. The agent counts from when it *asked*, on a clock that runs through
suspension, and stops trusting earlier than the database: so it never believes in a lease that is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

MARGIN_FLOOR = 2.0
LEAST_INTERVAL = 0.05
"""Between renewals, whatever the control plane asks for: without a pause nothing else would have its turn."""
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Lease:
    """`asked` holds when each unanswered renewal was sent, by its id."""

    trusted_until: float = NEVER
    ttl: float = 0.0
    interval: float = 0.0
    next_id: int = 1
    next_at: float = 0.0
    asked: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))


def margin(ttl: float) -> float:
    """What is taken off a TTL. Never more than half of it, so that the short TTLs of tests leave something."""
    return min(max(MARGIN_FLOOR, ttl / 10), ttl / 2)


def welcomed(state: Lease, sent_at: float, ttl: float, interval: float) -> Lease:
    """Hello renewed the lease too. Questions on an earlier stream are never answered on this one."""
    return Lease(
        trusted_until=max(state.trusted_until, sent_at + ttl - margin(ttl)),
        ttl=ttl,
        interval=max(interval, LEAST_INTERVAL),
        next_id=state.next_id,
        next_at=sent_at + max(interval, LEAST_INTERVAL),
    )


def asked(state: Lease, now: float) -> tuple[Lease, int]:
    """A renewal leaves now; its id."""
    number = state.next_id
    waiting = MappingProxyType({**state.asked, number: now})
    return replace(state, asked=waiting, next_id=number + 1, next_at=now + state.interval), number


def renewed(state: Lease, number: int, ttl: float, interval: float) -> Lease:
    """The answer to a renewal. One that was never asked, or was asked on a lost stream, proves nothing."""
    sent_at = state.asked.get(number)
    if sent_at is None:
        return state
    interval = max(interval, LEAST_INTERVAL)
    waiting = MappingProxyType({k: v for k, v in state.asked.items() if k > number})
    return replace(
        state,
        trusted_until=max(state.trusted_until, sent_at + ttl - margin(ttl)),
        ttl=ttl,
        interval=interval,
        next_at=min(state.next_at, sent_at + interval),
        asked=waiting,
    )


def lost(state: Lease) -> Lease:
    """The stream ended. The lease itself lives on in the database, and so does our trust in it."""
    return replace(state, asked=MappingProxyType({}))


def trusted(state: Lease, now: float) -> bool:
    return now < state.trusted_until


def silent_at(state: Lease) -> float | None:
    """When to give the stream up for dead: one interval after the oldest unanswered renewal. That leaves time for
    a new stream before the lease ends.
    """
    if not state.asked:
        return None
    return min(state.asked.values()) + max(state.interval, margin(state.ttl))
