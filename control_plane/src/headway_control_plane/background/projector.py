"""The projection engine as a service: woken by commits and hints, one sweep statement now and then in case a hint was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Protocol

from headway_control_plane.application.ports import CommitNotice
from headway_control_plane.clock import Clock
from headway_control_plane.projections.engine import ProjectionEngine

# A run's first events come within milliseconds of each other, and dispatching it is more urgent than showing its tasks.
LINGER_SECONDS = 0.05


class HeldShards(Protocol):
    """The shards that are this replica's now."""

    def held(self) -> Mapping[int, int]: ...


class Projector:
    """Work of a service. Projects the workspaces of this replica's shards, so that replicas seldom meet at a checkpoint."""

    name = "projector"

    def __init__(
        self,
        engine: ProjectionEngine,
        shards: HeldShards,
        clock: Clock,
        *,
        interval: float = 5.0,
        linger: float = LINGER_SECONDS,
    ) -> None:
        self._engine = engine
        self._shards = shards
        self._clock = clock
        self._interval = interval
        self._swept_at = float("-inf")
        self._linger = linger
        self._lingering: set[int] = set()
        self._hinted: set[int] = set()

    @property
    def interval(self) -> float:
        return self._interval

    def on_commit(self, notice: CommitNotice) -> None:
        """Listen to the log of this process; what follows within the linger is projected together."""
        if notice.shard in self._shards.held() and notice.ws not in self._lingering:
            self._lingering.add(notice.ws)
            asyncio.get_running_loop().call_later(self._linger, self._mark, notice.ws)

    def _mark(self, ws: int) -> None:
        self._lingering.discard(ws)
        self._engine.mark(ws)

    def on_hint(self, shard: int) -> None:
        """Listen to other replicas: look there at the next turn."""
        self._hinted.add(shard)
        self._engine.wake()

    async def run_once(self) -> bool:
        """Look where the log may be ahead, if it is time to; then take one turn."""
        held = self._shards.held()
        if self._clock.monotonic() - self._swept_at >= self._interval:
            await self._sweep(held.keys())
            self._swept_at = self._clock.monotonic()
        elif hinted := self._hinted & held.keys():
            await self._sweep(hinted)
        return await self._engine.run_once()

    async def _sweep(self, shards: Collection[int]) -> None:
        self._hinted -= set(shards)
        if shards:
            await self._engine.sweep(shards)
