"""The dispatcher's core: which waiting run goes to which session, and why the others wait.

A fold in memory over what a shard's owner knows. Inputs say what became true; effects are wishes (a grant is a command that the log may
refuse). Nothing here reads a clock or a database, and the same inputs give the same effects.

Order: priority 1 to 5, a waiting run rising one level each `AGEING`; inside a level the key (deployment) that was served least comes
first; inside a key first come, first served. Sessions with most free slots are filled first.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from headway_control_plane.domain.dispatching_pool import Pool, Session
from headway_control_plane.domain.dispatching_words import (
    AttemptClosed,
    AttemptOpened,
    Broken,
    Effect,
    Forget,
    Grant,
    Input,
    PoolIs,
    RunGone,
    RunWaits,
    SessionDown,
    SessionUp,
    Tick,
    Wait,
)

AGEING = timedelta(minutes=10)
TELL_AFTER = timedelta(seconds=1)  # a run that waits shorter needs no reason
TOLD_MAX = 500  # reasons written in one step
_FUTURE_SLACK = 1000


class Dispatching:
    """The core. `step` folds what became true; `foresee_run` and `foresee_end` give ahead of what is about to; `next_wake` tells when a
    Tick is worth sending.
    """

    def __init__(self) -> None:
        self._pools: dict[tuple[int, UUID], Pool] = {}
        self._pools_of: dict[int, set[UUID]] = {}
        self._pool_of: dict[tuple[int, UUID], UUID] = {}  # waiting run -> pool
        self._future: list[tuple[datetime, int, UUID]] = []

    def step(self, now: datetime, *inputs: Input) -> list[Effect]:
        """Folds the inputs in, then gives what can be given.

        Returns grants and changed reasons, in order. A grant counts as taken at once; answer a refused one with RunWaits or RunGone
        after AttemptClosed. A workspace that breaks is forgotten and named.
        """
        touched: set[tuple[int, UUID]] = set()
        effects: list[Effect] = []
        broken: set[int] = set()
        for item in inputs:
            if isinstance(item, Tick) or item.ws in broken:
                continue
            try:
                self._fold(item, now, touched, effects)
            except Exception as error:  # noqa: BLE001 - named to the caller; the other workspaces go on
                self._break(item.ws, error, broken, effects)
        while self._future and self._future[0][0] <= now:
            _, ws, run = heapq.heappop(self._future)
            pool = self._pool_of.get((ws, run))
            if pool is not None:
                self._enqueue(self._pools[ws, pool].waiting[run])
                touched.add((ws, pool))
        ticked = any(isinstance(item, Tick) for item in inputs)
        if ticked:
            touched.update(key for key, pool in self._pools.items() if pool.waiting)
        for key in sorted(touched, key=lambda k: (k[0], k[1].int)):
            pool_state = self._pools.get(key)
            if pool_state is None:
                continue
            try:
                self._give(key, pool_state, now, effects)
                if ticked and pool_state.waiting:
                    self._tell(key[0], pool_state, now, effects)
            except Exception as error:  # noqa: BLE001 - as above
                self._break(key[0], error, broken, effects)
        return effects

    def foresee_run(self, now: datetime, item: RunWaits) -> list[Effect]:
        """What a run that is being created gets at once; nothing, and nothing is kept of it, where it would have to wait.

        Pools with a limit of their own are left out, here and below: the slots that are taken of it are counted where a grant is decided.
        """
        key = item.ws, item.pool
        pool = self._pools.get(key)
        if pool is None or pool.slots or pool.free <= 0 or item.run in pool.waiting:
            return []
        effects: list[Effect] = []
        self._wait(item, now)
        self._give(key, pool, now, effects)
        self._gone(RunGone(item.ws, item.run), effects)
        return effects

    def foresee_end(self, now: datetime, end: AttemptClosed) -> list[Effect]:
        """What is given when an attempt that is about to end leaves its slot to another; nothing changes where nobody waits for it.

        The grant counts as taken. Answer a refused one with AttemptOpened for the attempt that did not end.
        """
        key = end.ws, end.pool
        pool = self._pools.get(key)
        if pool is None or pool.slots or not pool.waiting:
            return []
        session = next((s for s in pool.sessions.values() if end.run in s.held), None)
        if session is None or not session.up or session.free > 0:
            return []
        effects: list[Effect] = []
        for held in (session.held, pool.held):
            held.discard(end.run)
        self._give(key, pool, now, effects)
        if not any(isinstance(effect, Grant) for effect in effects):
            for held in (session.held, pool.held):
                held.add(end.run)
        return [
            replace(effect, instead_of=end.run) if isinstance(effect, Grant) else effect
            for effect in effects
        ]

    def next_wake(self, now: datetime) -> datetime | None:
        """When the next Tick is due: a run's due time, or a reason that has to be told; None when nothing waits for time alone."""
        wakes = [self._future[0][0]] if self._future else []
        if any(pool.has_news for pool in self._pools.values()):
            wakes.append(now + TELL_AFTER)
        return min(wakes, default=None)

    def waiting(self) -> int:
        """How many runs wait, due or not."""
        return len(self._pool_of)

    def _fold(
        self, item: Input, now: datetime, touched: set[tuple[int, UUID]], effects: list[Effect]
    ) -> None:
        match item:
            case RunWaits():
                self._wait(item, now)
                touched.add((item.ws, item.pool))
            case RunGone():
                self._gone(item, effects)
            case AttemptOpened():
                pool = self._pool(item.ws, item.pool)
                self._gone(RunGone(item.ws, item.run), effects)
                pool.held.add(item.run)
                for other in pool.sessions.values():
                    other.held.discard(item.run)
                pool.sessions.setdefault(item.session, Session(0, up=False)).held.add(item.run)
            case AttemptClosed():
                pool = self._pool(item.ws, item.pool)
                pool.held.discard(item.run)
                for id_, session in list(pool.sessions.items()):
                    session.held.discard(item.run)
                    if not (session.up or session.held):
                        del pool.sessions[id_]  # it was down already and held this alone
                touched.add((item.ws, item.pool))
            case SessionUp():
                known = self._pool(item.ws, item.pool).sessions.setdefault(
                    item.session, Session(0, up=True)
                )
                known.slots, known.up = item.slots, True
                known.agent = item.agent or known.agent
                touched.add((item.ws, item.pool))
            case SessionDown():
                self._down(item)
                touched.add((item.ws, item.pool))
            case PoolIs():
                pool = self._pool(item.ws, item.pool)
                pool.name, pool.slots = item.name, item.slots
                touched.add((item.ws, item.pool))
            case Forget():
                self._forget(item.ws)
            case Tick():
                pass  # step gives every pool with waiting runs a turn

    def _break(self, ws: int, error: Exception, broken: set[int], effects: list[Effect]) -> None:
        self._forget(ws)
        broken.add(ws)
        effects.append(Broken(ws, error))

    def _pool(self, ws: int, pool: UUID) -> Pool:
        self._pools_of.setdefault(ws, set()).add(pool)
        return self._pools.setdefault((ws, pool), Pool())

    def _wait(self, item: RunWaits, now: datetime) -> None:
        pool = self._pool(item.ws, item.pool)
        if item.run in pool.waiting:
            return
        pool.waiting[item.run] = item
        self._pool_of[item.ws, item.run] = item.pool
        if item.due_at > now:
            heapq.heappush(self._future, (item.due_at, item.ws, item.run))
        else:
            self._enqueue(item)

    def _enqueue(self, item: RunWaits) -> None:
        pool = self._pools[item.ws, item.pool]
        if item.home is not None:
            pool.homed.setdefault(item.home, deque()).append(item.run)
        else:
            pool.queues.setdefault((item.priority, item.key), deque()).append(item.run)

    def _gone(self, item: RunGone, effects: list[Effect]) -> None:
        pool_id = self._pool_of.pop((item.ws, item.run), None)
        if pool_id is None:
            return
        pool = self._pools[item.ws, pool_id]
        del pool.waiting[item.run]
        if pool.told.pop(item.run, None) is not None:
            effects.append(Wait(item.ws, item.run, "", ""))

    def _down(self, item: SessionDown) -> None:
        pool = self._pool(item.ws, item.pool)
        session = pool.sessions.get(item.session)
        if session is None:
            return
        session.up = False
        if not session.held:
            del pool.sessions[item.session]

    def _forget(self, ws: int) -> None:
        for pool in self._pools_of.pop(ws, ()):
            for run in self._pools.pop((ws, pool)).waiting:
                self._pool_of.pop((ws, run), None)
        # What is left of it in the heap names no waiting run and is dropped when met, or here before it is most of the heap.
        if len(self._future) > 2 * len(self._pool_of) + _FUTURE_SLACK:
            self._future = [entry for entry in self._future if entry[1:] in self._pool_of]
            heapq.heapify(self._future)

    def _give(
        self, key: tuple[int, UUID], pool: Pool, now: datetime, effects: list[Effect]
    ) -> None:
        ws = key[0]
        free = pool.free
        if free > 0 and pool.homed:
            free = self._give_homed(ws, pool, now, free, effects)
        while free > 0:
            item = self._next(pool, now)
            if item is None:
                break
            session_id = max(pool.sessions, key=lambda s: (pool.sessions[s].free, s.int))
            self._grant(ws, pool, item, session_id, effects)
            free -= 1
        if not pool.waiting:
            pool.served.clear()
            pool.queues.clear()
            pool.homed.clear()

    def _give_homed(
        self, ws: int, pool: Pool, now: datetime, free: int, effects: list[Effect]
    ) -> int:
        """Runs that one agent alone can go on with come first: they were begun before. Returns what is free after them."""
        for home, queue in list(pool.homed.items()):
            sessions = [s for s, held in pool.sessions.items() if held.agent == home]
            while free > 0 and queue:
                item = pool.waiting.get(queue[0])
                if item is None or item.due_at > now or item.home != home:
                    queue.popleft()
                    continue
                session_id = max(sessions, key=lambda s: pool.sessions[s].free, default=None)
                if session_id is None or pool.sessions[session_id].free <= 0:
                    break
                queue.popleft()
                self._grant(ws, pool, item, session_id, effects)
                free -= 1
            if not queue:
                del pool.homed[home]
        return free

    def _grant(
        self, ws: int, pool: Pool, item: RunWaits, session_id: UUID, effects: list[Effect]
    ) -> None:
        self._gone(RunGone(ws, item.run), effects)
        pool.held.add(item.run)
        pool.sessions[session_id].held.add(item.run)
        pool.served[item.key] = pool.served.get(item.key, 0) + 1
        effects.append(Grant(ws, item.run, session_id))

    def _next(self, pool: Pool, now: datetime) -> RunWaits | None:
        """The head of the best queue; takes it off. Queues are as many as (priority, key) pairs, not as runs."""
        best: tuple[tuple[int, int, datetime, int], tuple[int, UUID]] | None = None
        for queue_key, queue in list(pool.queues.items()):
            while queue and (queue[0] not in pool.waiting or pool.waiting[queue[0]].due_at > now):
                queue.popleft()
            if not queue:
                del pool.queues[queue_key]
                continue
            head = pool.waiting[queue[0]]
            level = max(1, head.priority - int((now - head.due_at) / AGEING))
            rank = (level, pool.served.get(head.key, 0), head.due_at, head.run.int)
            if best is None or rank < best[0]:
                best = (rank, queue_key)
        return pool.waiting[pool.queues[best[1]].popleft()] if best is not None else None

    def _tell(self, ws: int, pool: Pool, now: datetime, effects: list[Effect]) -> None:
        if not pool.has_news:
            return
        reason, away = pool.reason(), pool.away()
        told = 0
        for run, item in pool.waiting.items():
            if told >= TOLD_MAX:
                return  # the rest with the next tick
            why = ("not due", item.due_at.isoformat()) if item.due_at > now else reason
            if item.home in away and item.due_at <= now:
                why = "agent away", str(item.home)
            if pool.told.get(run) == why or (item.due_at <= now < item.due_at + TELL_AFTER):
                continue
            pool.told[run] = why
            effects.append(Wait(ws, run, *why))
            told += 1
        pool.told_reason, pool.told_away = reason, away
