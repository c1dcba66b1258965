"""A bounded line of items, fair among workspaces. A full line holds its callers back, and in the end turns them away."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import heapify, heappop, heapreplace

from headway_control_plane.application.ports import Unavailable
from headway_control_plane.log.items import Item


@dataclass(frozen=True, slots=True)
class Limits:
    """How much waits at most, how much one flush takes, and how long a caller is held back before it is turned away.

    `waiting_*` are of one workspace; all together may have as much waiting as `crowd` of them.
    """

    waiting_events: int = 10_000
    waiting_bytes: int = 16 << 20
    crowd: int = 4
    flush_events: int = 1_000
    flush_bytes: int = 4 << 20
    patience: timedelta = timedelta(seconds=10)
    retry_after: timedelta = timedelta(seconds=1)


@dataclass(slots=True)
class _Load:
    """How much waits."""

    events: int = 0
    size_bytes: int = 0

    def add(self, item: Item, sign: int = 1) -> None:
        self.events += sign * item.events
        self.size_bytes += sign * item.size_bytes

    def fills(self, limits: Limits, times: int = 1) -> bool:
        return (
            self.events >= times * limits.waiting_events
            or self.size_bytes >= times * limits.waiting_bytes
        )


@dataclass(slots=True)
class _Queue:
    """What waits of one workspace. `turn` is when it was served last: who waits longest comes first."""

    turn: int
    items: deque[Item] = field(default_factory=deque)
    load: _Load = field(default_factory=_Load)


class WaitingLine:
    """First in, first out within a workspace. A flush is filled in equal shares of events, so that whoever has little waiting
    is served whole, however much of others waits before it.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._queues: dict[int, _Queue] = {}
        self._load = _Load()
        self._turn = 0
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return sum(len(queue.items) for queue in self._queues.values())

    async def put(self, item: Item) -> None:
        """Add an item; wait while there is no room for its workspace.

        Raises:
            Unavailable: There was no room for too long, or the line was closed.
        """
        if not self._has_room(item.ws):
            await self._wait_for_room(item.ws)
        if self._closed:
            raise self.unavailable("The control plane is stopping.")
        queue = self._queues.get(item.ws)
        if queue is None:
            queue = self._queues[item.ws] = _Queue(self._turn)
        queue.items.append(item)
        queue.load.add(item)
        self._load.add(item)
        self._filled.set()

    async def wait(self) -> bool:
        """Wait for items; False when the line is closed and empty."""
        await self._filled.wait()
        return bool(self._queues)

    def take(self) -> list[Item]:
        """Remove what the next flush carries: as much as there is, up to the limit."""
        taken: list[Item] = []
        flush = _Load()
        turns = [(0, queue.turn, ws) for ws, queue in self._queues.items()]
        heapify(turns)
        while turns:
            share, turn, ws = turns[0]
            queue = self._queues[ws]
            item = queue.items[0]
            flush.add(item)
            if taken and self._is_too_much(flush):
                break
            taken.append(self._remove_first(queue))
            if queue.items:
                heapreplace(turns, (share + item.events, turn, ws))
            else:
                heappop(turns)
                del self._queues[ws]
        if not self._queues and not self._closed:
            self._filled.clear()
        self._tell_of_room()
        return [item for item in taken if not item.future.done()]

    def close(self) -> None:
        """Take nothing more; what waits is still handed out."""
        self._closed = True
        self._filled.set()
        self._tell_of_room()

    def turn_away(self, why: str) -> None:
        """Answer everything that waits with Unavailable."""
        for queue in self._queues.values():
            for item in queue.items:
                if not item.future.done():
                    item.future.set_exception(self.unavailable(why))
        self._queues.clear()
        self._load = _Load()
        if not self._closed:
            self._filled.clear()
        self._tell_of_room()

    def unavailable(self, why: str) -> Unavailable:
        return Unavailable(why, self.limits.retry_after)

    def _remove_first(self, queue: _Queue) -> Item:
        item = queue.items.popleft()
        queue.load.add(item, -1)
        self._load.add(item, -1)
        self._turn += 1
        queue.turn = self._turn
        return item

    def _is_too_much(self, flush: _Load) -> bool:
        return flush.events > self.limits.flush_events or flush.size_bytes > self.limits.flush_bytes

    def _has_room(self, ws: int) -> bool:
        if self._closed:
            return True  # for the refusal
        if self._load.fills(self.limits, self.limits.crowd):
            return False
        queue = self._queues.get(ws)
        return queue is None or not queue.load.fills(self.limits)

    async def _wait_for_room(self, ws: int) -> None:
        try:
            async with asyncio.timeout(self.limits.patience.total_seconds()):
                while not self._has_room(ws):
                    await self._taken.wait()
        except TimeoutError:
            raise self.unavailable("Too much waits to be written.") from None

    def _tell_of_room(self) -> None:
        """Wake all that wait for room; each looks for itself."""
        self._taken.set()
        self._taken = asyncio.Event()
