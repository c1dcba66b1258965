"""Writes acknowledgements down, after they arrived and before anything is forgotten. Many answers are one write."""

import asyncio
from functools import partial

from headway_agent.loops.faults import patiently
from headway_agent.loops.hub import Hub
from headway_agent.loops.ports import Witnesses
from headway_agent.runner.api import AttemptKey


class RecordLoop:
    def __init__(self, hub: Hub, witnesses: Witnesses) -> None:
        self._hub = hub
        self._witnesses = witnesses

    async def run(self) -> None:
        noted = self._hub.noted
        try:
            while True:
                await noted.wake.wait()
                noted.wake.clear()
                await self._write()
        finally:
            await self._write()

    async def _write(self) -> None:
        noted, attempts = self._hub.noted, self._hub.attempts
        seqs, noted.seqs = noted.seqs, {}
        lines, noted.lines = noted.lines, {}
        witness, noted.witness = noted.witness, None
        noted.writing = True
        async with asyncio.TaskGroup() as group:
            for attempt, seq in seqs.items():
                group.create_task(patiently(partial(attempts.acked, AttemptKey(*attempt), seq)))
            for attempt, line in lines.items():
                group.create_task(
                    patiently(partial(attempts.lines_acked, AttemptKey(*attempt), line))
                )
            if witness is not None:
                group.create_task(patiently(partial(self._witnesses.keep, witness)))
        noted.writing = False
        if seqs or lines:
            self._hub.changed.set()
