"""A bounded line of items. A full line holds its callers back, and in the end turns them away."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from headway_control_plane.application.ports import Unavailable
from headway_control_plane.log.items import Item


@dataclass(frozen=True, slots=True)
class Limits:
    """How much waits at most, how much one flush takes, and how long a caller is held back before it is turned away."""

    waiting_events: int = 20_000
    waiting_bytes: int = 32 << 20
    flush_events: int = 1_000
    flush_bytes: int = 4 << 20
    patience: timedelta = timedelta(seconds=10)
    retry_after: timedelta = timedelta(seconds=1)


class WaitingLine:
    """First in, first out."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._items: deque[Item] = deque()
        self._events = 0
        self._bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item: Item) -> None:
        """Add an item; wait while the line is full.

        Raises:
            Unavailable: The line stayed full for too long, or was closed.
        """
        if not self._room.is_set():
            await self._wait_for_room()
        if self._closed:
            raise self.unavailable("The control plane is stopping.")
        self._items.append(item)
        self._events += item.events
        self._bytes += item.size_bytes
        self._note_room()
        self._filled.set()

    async def wait(self) -> bool:
        """Wait for items; False when the line is closed and empty."""
        await self._filled.wait()
        return bool(self._items)

    def take(self) -> list[Item]:
        """Remove what the next flush carries: as much as there is, up to the limit."""
        taken: list[Item] = []
        events = size = 0
        while self._items:
            item = self._items[0]
            events += item.events
            size += item.size_bytes
            if taken and (events > self.limits.flush_events or size > self.limits.flush_bytes):
                break
            taken.append(self._items.popleft())
            self._events -= item.events
            self._bytes -= item.size_bytes
        if not self._items and not self._closed:
            self._filled.clear()
        self._note_room()
        return [item for item in taken if not item.future.done()]

    def close(self) -> None:
        """Take nothing more; what waits is still handed out."""
        self._closed = True
        self._filled.set()
        self._room.set()

    def turn_away(self, why: str) -> None:
        """Answer everything that waits with Unavailable."""
        while self._items:
            item = self._items.popleft()
            if not item.future.done():
                item.future.set_exception(self.unavailable(why))
        self._events = self._bytes = 0
        if not self._closed:
            self._filled.clear()
        self._note_room()

    def unavailable(self, why: str) -> Unavailable:
        return Unavailable(why, self.limits.retry_after)

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self.limits.patience.total_seconds()):
                while not self._room.is_set():
                    await self._room.wait()
        except TimeoutError:
            raise self.unavailable("Too much waits to be written.") from None

    def _note_room(self) -> None:
        full = (
            self._events >= self.limits.waiting_events or self._bytes >= self.limits.waiting_bytes
        )
        if full and not self._closed:
            self._room.clear()
        else:
            self._room.set()
