"""Keeps this replica's lease and its share of the shards: the adapter around `ownership`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from headway_control_plane.clock import Clock
from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.dispatch.ownership import (
    LeaseSeen,
    LeaseTerms,
    Ownership,
    renewed,
    took,
)

_log = logging.getLogger(__name__)
_SQL = load_queries("headway_control_plane.dispatch", "shards.sql")


@dataclass(frozen=True, slots=True)
class ShardsChanged:
    """Shards that are ours from now on, to be loaded afresh, and shards that no longer are."""

    gained: frozenset[int]
    lost: frozenset[int]


class ShardLeases:
    """Work of a service: one renewal a look. Listeners hear of every change, before the next look, in the event loop."""

    name = "shard leases"

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        replica: UUID,
        address: str = "",
        terms: LeaseTerms | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._terms = terms or LeaseTerms()
        self._address = address
        self._own = Ownership()
        self._announced: Mapping[int, int] = {}
        self._listeners: list[Callable[[ShardsChanged], None]] = []
        self.replica = replica

    @property
    def interval(self) -> float:
        """Shorter while shards of our share are still with others, so that they do not lie idle for long."""
        terms = self._terms
        wait = terms.claim_interval if self._own.lacks else terms.renew_interval
        return wait.total_seconds()

    def held(self) -> Mapping[int, int]:
        """Our shards and their epochs; none once the lease can no longer be trusted."""
        return self._own.held(self._clock.monotonic())

    def epoch_of(self, shard: int) -> int | None:
        return self._own.epoch_of(shard, self._clock.monotonic())

    @property
    def alone(self) -> bool:
        """Whether no other replica lived at the last renewal."""
        return self._own.live == 1

    def on_change(self, listener: Callable[[ShardsChanged], None]) -> None:
        self._listeners.append(listener)

    async def run_once(self) -> bool:
        asked_at = self._clock.monotonic()
        self._own, plan = renewed(self._own, await self._renew(asked_at), self._terms)
        # Announced before the rows are released: nobody works on a shard that another replica may take.
        self._announce(anew=plan.anew)
        if plan.release:
            await self._release(plan.release)
        if plan.take:
            taken = await self._take(plan.take)
            self._own = took(self._own, taken)
            self._announce(anew=frozenset(taken))
        return False

    async def retire(self) -> None:
        """Give everything up in order, so that others need not wait for our lease to run out."""
        self._own = replace(self._own, epochs={}, trusted_until=float("-inf"))
        self._announce(anew=frozenset())
        async with self._database.statements(Role.DISPATCHER) as connection:
            await connection.execute(_SQL["retire_replica"], {"replica": self.replica})

    async def _renew(self, asked_at: float) -> LeaseSeen:
        parameters = {"replica": self.replica, "address": self._address, "ttl": self._terms.ttl}
        async with self._database.statements(Role.DISPATCHER) as connection:
            cursor = await connection.execute(_SQL["renew_replica"], parameters)
            row = await cursor.fetchone()
        assert row is not None, "an aggregate always answers"
        alive, others, ids, epochs = row
        return LeaseSeen(asked_at, others, dict(zip(ids, epochs, strict=True)), lapsed=not alive)

    async def _take(self, count: int) -> dict[int, int]:
        async with self._database.statements(Role.DISPATCHER) as connection:
            cursor = await connection.execute(
                _SQL["take_shards"], {"replica": self.replica, "count": count}
            )
            return {int(shard): int(epoch) for shard, epoch in await cursor.fetchall()}

    async def _release(self, shards: tuple[int, ...]) -> None:
        async with self._database.statements(Role.DISPATCHER) as connection:
            await connection.execute(
                _SQL["release_shards"], {"replica": self.replica, "shards": list(shards)}
            )

    def _announce(self, *, anew: frozenset[int]) -> None:
        now, before = self._own.epochs, self._announced
        gained = anew | frozenset(shard for shard in now if shard not in before)
        lost = frozenset(before) - frozenset(now)
        self._announced = dict(now)
        if not gained and not lost:
            return
        _log.info("shards: %d gained, %d lost, %d held", len(gained), len(lost), len(now))
        for listener in self._listeners:
            listener(ShardsChanged(gained, lost))
