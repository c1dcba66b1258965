"""The reassignment brake: when many agents vanish at once, the network is the likelier cause, and giving their runs away would repeat them all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

LEAST_LOST = 3
HOLD = timedelta(minutes=15)


def held_until(
    lost_at: Sequence[datetime], live: int, ttl: timedelta, hold: timedelta = HOLD
) -> datetime | None:
    """Until when a shard's lost sessions keep their runs; None when nothing speaks for a common cause.

    `lost_at` are the instants at which the sessions that are still lost were lost, `live` counts those that are there. The brake holds
    when at least three, and more than a third of all, were lost within one lease; those that return no longer count.
    """
    instants = sorted(lost_at)
    total = live + len(instants)
    first = 0
    until: datetime | None = None
    for last, instant in enumerate(instants):
        while instant - instants[first] > ttl:
            first += 1
        lost_together = last - first + 1
        if lost_together >= LEAST_LOST and lost_together * 3 > total:
            until = instant + hold
    return until
