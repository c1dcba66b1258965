"""Deletes, now and then, what nobody needs any more."""

import asyncio
import logging
from typing import Protocol

from headway_agent.loops.waiting import wait_for

log = logging.getLogger(__name__)
EVERY_S = 60.0


class Housekeeper(Protocol):
    async def delete_old(self) -> list[str]:
        """Deletes the directories of runs that are over and old enough; names the runs."""


class HousekeepingLoop:
    def __init__(self, housekeeper: Housekeeper, ended: asyncio.Event) -> None:
        self._housekeeper = housekeeper
        self._ended = ended

    async def run(self) -> None:
        while not await wait_for(self._ended, EVERY_S):
            for run in await self._housekeeper.delete_old():
                log.info("run directory deleted", extra={"run": run})
        # The session loop ends the agent, not this one.
        await asyncio.Event().wait()
