"""Shares of shards: every shard is owned, by one, in equal parts, whoever comes and goes."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from headway_control_plane.dispatch.ownership import (
    SHARDS,
    LeaseSeen,
    LeaseTerms,
    Ownership,
    renewed,
    took,
)

TERMS = LeaseTerms(ttl=timedelta(seconds=15), margin=timedelta(seconds=2))


class Table:
    """The shard and replica tables, with the rules of their statements."""

    def __init__(self) -> None:
        self.owner: dict[int, str | None] = dict.fromkeys(range(SHARDS))
        self.epoch = dict.fromkeys(range(SHARDS), 0)
        self.leases: dict[str, float] = {}

    def renew(self, name: str, now: float) -> LeaseSeen:
        lapsed = self.leases.get(name, float("-inf")) <= now
        self.leases[name] = now + TERMS.ttl.total_seconds()
        others = sum(1 for other, until in self.leases.items() if other != name and until > now)
        mine = {shard: self.epoch[shard] for shard, owner in self.owner.items() if owner == name}
        return LeaseSeen(now, others, mine, lapsed)

    def take(self, name: str, count: int, now: float) -> dict[int, int]:
        alive = {other for other, until in self.leases.items() if until > now}
        free = [shard for shard, owner in self.owner.items() if owner not in alive][:count]
        for shard in free:
            self.owner[shard] = name
            self.epoch[shard] += 1
        return {shard: self.epoch[shard] for shard in free}

    def release(self, shards: tuple[int, ...]) -> None:
        for shard in shards:
            self.owner[shard] = None


def look(own: Ownership, table: Table, name: str, now: float) -> Ownership:
    own, plan = renewed(own, table.renew(name, now), TERMS)
    table.release(plan.release)
    if plan.take:
        own = took(own, table.take(name, plan.take, now))
    return own


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_all_shards_are_shared_out_equally(count: int) -> None:
    table, names = Table(), [f"r{n}" for n in range(count)]
    owns = dict.fromkeys(names, Ownership())
    for turn in range(4):
        for name in names:
            owns[name] = look(owns[name], table, name, float(turn))
    parts = [len(own.epochs) for own in owns.values()]
    assert sum(parts) == SHARDS
    assert max(parts) <= -(-SHARDS // count)
    assert None not in table.owner.values()


def test_a_newcomer_gets_its_part() -> None:
    table = Table()
    one = look(Ownership(), table, "one", 0.0)
    assert len(one.epochs) == SHARDS
    two = look(Ownership(), table, "two", 1.0)
    assert two.lacks
    assert not two.epochs
    one = look(one, table, "one", 2.0)
    two = look(two, table, "two", 3.0)
    assert (len(one.epochs), len(two.epochs)) == (512, 512)
    assert not set(one.epochs) & set(two.epochs)
    assert not two.lacks


def test_the_dead_ones_part_goes_to_the_living_with_a_higher_epoch() -> None:
    table = Table()
    one = look(Ownership(), table, "one", 0.0)
    two = look(Ownership(), table, "two", 0.0)
    one = look(one, table, "one", 1.0)
    two = look(two, table, "two", 1.0)
    before = dict(one.epochs)
    for now in (5.0, 10.0, 14.0, 20.0):
        two = look(two, table, "two", now)
    assert len(two.epochs) == SHARDS
    assert all(two.epochs[shard] == epoch + 1 for shard, epoch in before.items())


def test_ownership_is_trusted_for_less_than_the_lease_from_when_it_was_asked() -> None:
    own = look(Ownership(), Table(), "one", 100.0)
    assert len(own.held(112.9)) == SHARDS
    assert not own.held(113.0)
    assert own.epoch_of(7, 112.9) == 1
    assert own.epoch_of(7, 113.0) is None


def test_after_a_lapse_everything_is_anew_although_nobody_took_it() -> None:
    table = Table()
    own = look(Ownership(), table, "one", 0.0)
    _, plan = renewed(own, table.renew("one", 5.0), TERMS)
    assert not plan.anew
    _, plan = renewed(own, table.renew("one", 60.0), TERMS)
    assert len(plan.anew) == SHARDS


def test_an_answer_that_came_after_the_trust_had_ended_makes_everything_anew() -> None:
    table = Table()
    own = look(Ownership(), table, "one", 0.0)
    # The database still saw the lease alive, but here a moment without any trust has passed.
    seen = replace(table.renew("one", 14.0), asked_at=13.5)
    _, plan = renewed(own, seen, TERMS)
    assert len(plan.anew) == SHARDS


def test_shards_lost_meanwhile_are_known_to_be_lost() -> None:
    table = Table()
    own = look(Ownership(), table, "one", 0.0)
    table.owner[3] = "two"
    own, plan = renewed(own, table.renew("one", 1.0), TERMS)
    assert 3 not in own.epochs
    assert not plan.anew


@pytest.mark.parametrize("seed", range(20))
def test_never_two_who_trust_the_same_shard(seed: int) -> None:
    """Replicas that come, pause, die and return in any order: trust is never shared, and in the end everything is owned."""
    random, table, now = Random(seed), Table(), 0.0
    owns: dict[str, Ownership] = {}
    for _ in range(120):
        now += random.uniform(0.1, 6.0)
        name = f"r{random.randrange(4)}"
        owns[name] = look(owns.get(name, Ownership()), table, name, now)
        held = [shard for own in owns.values() for shard in own.held(now)]
        assert len(held) == len(set(held))
    for name, own in list(owns.items()) * 6:
        now += 1.0
        owns[name] = look(owns[name], table, name, now)
        assert len(owns[name].epochs) <= max(len(own.epochs), owns[name].share)
    assert None not in table.owner.values()


@pytest.mark.parametrize("seconds", [3, 15, 60])
def test_a_lease_of_any_length_is_renewed_twice_before_it_ends(seconds: int) -> None:
    terms = LeaseTerms.scaled(timedelta(seconds=seconds))
    assert 2 * terms.renew_interval < terms.ttl - terms.margin < terms.ttl
    assert terms.claim_interval < terms.renew_interval


@pytest.mark.parametrize("live", [1, 2, 3, 5, 7])
def test_once_shared_out_nobody_looks_for_more(live: int) -> None:
    table, now = Table(), 0.0
    owns = {f"r{n}": Ownership() for n in range(live)}
    for _ in range(6):
        for name, own in owns.items():
            now += 0.1
            owns[name] = look(own, table, name, now)
    assert sum(len(own.epochs) for own in owns.values()) == SHARDS
    assert not any(own.lacks for own in owns.values())
