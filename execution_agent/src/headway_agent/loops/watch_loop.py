"""Watches what the runner does and tells the cores."""

from headway_agent.loops.hub import Hub


class WatchLoop:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def run(self) -> None:
        self._hub.look()
        while True:
            await self._hub.attempts.wait_for_facts()
            self._hub.look()
