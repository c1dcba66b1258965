"""Watches what the runner does and tells the cores: once for all that has changed since the last look."""

import asyncio

from headway_agent.loops.hub import Hub


class WatchLoop:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def run(self) -> None:
        self._hub.look()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._look())

    async def _watch(self) -> None:
        while True:
            await self._hub.attempts.wait_for_facts()
            self._hub.changed.set()

    async def _look(self) -> None:
        """Whatever happens in one turn of the event loop is one look in the next."""
        while True:
            await self._hub.changed.wait()
            self._hub.changed.clear()
            self._hub.look()
