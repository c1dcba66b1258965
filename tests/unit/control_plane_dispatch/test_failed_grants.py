"""A grant that fails in a way that nobody foresaw must not leave its run in the air."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from headway_control_plane.application.ports import Committed, Cursor
from headway_control_plane.dispatch.dispatcher import Dispatcher
from headway_control_plane.dispatch.shards import ShardsChanged
from headway_control_plane.dispatch.view import PoolRow, Rows, RunRow, SessionRow
from headway_control_plane.domain.dispatching import Dispatching
from headway_control_plane.domain.dispatching_words import (
    AttemptClosed,
    AttemptOpened,
    SessionDown,
    SessionUp,
)

WS, SHARD, EPOCH = 7, 3, 1
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POOL, KEY, SESSION, RUN = (UUID(int=n) for n in range(1, 5))
WAITING = RunRow(RUN, POOL, KEY, 3, NOW, None)


class Clock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class OneShard:
    def held(self) -> dict[int, int]:
        return {SHARD: EPOCH}

    def epoch_of(self, shard: int) -> int | None:
        return self.held().get(shard)


class StillWaiting:
    """Rows that say again and again that the run waits."""

    async def workspaces(self, shards):
        return {WS: SHARD}, NOW

    async def load(self, workspaces):
        session, pool = SessionRow(SESSION, POOL, 1), PoolRow(POOL, "local", 0)
        return {WS: Rows([WAITING], [session], [pool])}

    async def runs(self, named):
        return {WS: [WAITING]}

    async def sessions(self, named):
        return {(WS, SESSION): SessionRow(SESSION, POOL, 1)}

    async def write_waits(self, waits):
        pass


class FailingOnce:
    """A log that breaks at its first grant."""

    def __init__(self, woken: asyncio.Event) -> None:
        self.asked = 0
        self.woken = woken

    async def execute(self, ws, command, *, actor):
        self.asked += 1
        self.woken.set()
        if self.asked == 1:
            raise RuntimeError("broken")
        return Committed(Cursor(1, 1), b"", (object(),))


async def test_a_run_whose_grant_broke_is_offered_again() -> None:
    woken = asyncio.Event()
    log = FailingOnce(woken)
    dispatcher = Dispatcher(StillWaiting(), log, OneShard(), Clock())
    dispatcher.on_wake(woken.set)
    dispatcher.on_shards(ShardsChanged(frozenset({SHARD}), frozenset()))
    async with asyncio.timeout(10):
        while log.asked < 2:
            woken.clear()
            await dispatcher.run_once()
            await woken.wait()
    await dispatcher.stop()


def test_a_session_that_went_down_is_forgotten_with_its_last_attempt() -> None:
    core = Dispatching()
    for n in range(50):
        session, run = UUID(int=100 + n), UUID(int=1000 + n)
        core.step(NOW, SessionUp(WS, session, POOL, 1), AttemptOpened(WS, run, POOL, session))
        core.step(NOW, SessionDown(WS, session, POOL))
        core.step(NOW, AttemptClosed(WS, run, POOL, session))
    (pool,) = core._pools.values()
    assert pool.sessions == {}
