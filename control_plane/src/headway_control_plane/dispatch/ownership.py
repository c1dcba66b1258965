"""Which shards a replica owns: the pure core. It trusts its lease for less than it lasts, counted from when it asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

SHARDS = 1024


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long a replica's lease lasts. `margin` pays for clocks that drift and threads that wait."""

    ttl: timedelta = timedelta(seconds=15)
    renew_interval: timedelta = timedelta(seconds=5)
    margin: timedelta = timedelta(seconds=2)
    claim_interval: timedelta = timedelta(seconds=1)  # between looks while the share is not reached

    @classmethod
    def scaled(cls, ttl: timedelta) -> LeaseTerms:
        """A lease of another length, with everything else in the same proportion: a renewal must come before it ends."""
        scale = ttl / cls().ttl
        return cls(
            ttl, cls().renew_interval * scale, cls().margin * scale, cls().claim_interval * scale
        )


@dataclass(frozen=True, slots=True)
class Ownership:
    """What this replica believes. `epochs` maps its shards to the epochs under which it took them.

    `trusted_until` is on the replica's monotonic clock; from then on it owns nothing, whatever the table says.
    """

    epochs: Mapping[int, int] = field(default_factory=dict)
    trusted_until: float = float("-inf")
    share: int = SHARDS
    live: int = 1  # replicas, this one included

    def held(self, now: float) -> Mapping[int, int]:
        return self.epochs if now < self.trusted_until else {}

    def epoch_of(self, shard: int, now: float) -> int | None:
        return self.held(now).get(shard)

    @property
    def lacks(self) -> bool:
        """Whether we have less than what is left when all others have their share: one has yet to let go or to be given up."""
        return len(self.epochs) < SHARDS - (self.live - 1) * self.share


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """The answer to a renewal: what the table says. `lapsed`: our lease had run out, or there was none."""

    asked_at: float
    others: int
    epochs: Mapping[int, int]
    lapsed: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about the shards after a renewal. Shards of `anew` are ours as after a take-over: nothing known of them holds."""

    take: int = 0
    release: tuple[int, ...] = ()
    anew: frozenset[int] = frozenset()


def renewed(own: Ownership, seen: LeaseSeen, terms: LeaseTerms) -> tuple[Ownership, Plan]:
    """Fold a renewal. The share is an equal part, rounded up, so that the parts together cover all shards."""
    live = seen.others + 1
    share = -(-SHARDS // live)
    surplus = tuple(sorted(seen.epochs)[share:])
    kept = {shard: epoch for shard, epoch in seen.epochs.items() if shard not in set(surplus)}
    known = {} if seen.lapsed or seen.asked_at >= own.trusted_until else own.epochs
    anew = frozenset(shard for shard, epoch in kept.items() if known.get(shard) != epoch)
    trusted = seen.asked_at + (terms.ttl - terms.margin).total_seconds()
    after = Ownership(epochs=kept, trusted_until=trusted, share=share, live=live)
    return after, Plan(take=max(0, share - len(kept)), release=surplus, anew=anew)


def took(own: Ownership, epochs: Mapping[int, int]) -> Ownership:
    """Fold what a take-over statement returned."""
    return replace(own, epochs={**own.epochs, **epochs})
