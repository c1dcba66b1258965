"""Carries decisions to the runner: start, cancel, kill, close, forget. In order for each run, side by side for
different runs, so that a slow interpreter delays nobody else.
"""

import asyncio
from collections import defaultdict

from headway_agent.loops.faults import patiently
from headway_agent.loops.hub import Action, Cancel, Close, Forget, Hub, Kill, Resume, Start


class AttemptsLoop:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # asyncio's locks are fair: actions of a run keep their order.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: defaultdict[str, int] = defaultdict(int)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                action = await self._hub.actions.get()
                self._waiting[_run_of(action)] += 1
                group.create_task(self._in_turn(action))

    async def _in_turn(self, action: Action) -> None:
        run = _run_of(action)
        async with self._turns[run]:
            await patiently(lambda: self._carry_out(action))
        self._waiting[run] -= 1
        if not self._waiting[run]:
            del self._waiting[run], self._turns[run]

    async def _carry_out(self, action: Action) -> None:
        attempts = self._hub.attempts
        match action:
            case Start(assignment):
                await attempts.start(assignment, lambda: self._hub.is_cancelled(assignment.key))
                self._hub.started(assignment.key)
            case Resume(key):
                await attempts.resume(key)
            case Cancel(key):
                await attempts.cancel(key)
            case Kill(key):
                await attempts.kill(key)
            case Close(key):
                await attempts.fenced(key)
            case Forget(run):
                await attempts.forget(run)
        self._hub.changed.set()


def _run_of(action: Action) -> str:
    match action:
        case Start(assignment):
            return assignment.key.run
        case Forget(run):
            return run
        case Resume(key) | Cancel(key) | Kill(key) | Close(key):
            return key.run
