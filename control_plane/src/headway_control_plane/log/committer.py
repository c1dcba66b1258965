"""The log's writing side: takes commands, facts and lines, appends them in flushes, answers after the commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self
from uuid import UUID

from headway_control_plane.application.ports import (
    CommitNotice,
    Committed,
    Dedupe,
    FactsBatch,
    FactsResult,
    Foresight,
    Workspace,
)
from headway_control_plane.clock import Clock
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.commands import Command
from headway_control_plane.domain.policy import DEFAULT_POLICY, Policy
from headway_control_plane.ids import IdSource
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import prepare
from headway_control_plane.log.flush import Flushed, Flusher
from headway_control_plane.log.founding import Founder
from headway_control_plane.log.items import CommandItem, FactsItem, HashedKey, Item
from headway_control_plane.log.lane import Lane
from headway_control_plane.log.lines import LineStore
from headway_control_plane.log.segments import Segments
from headway_control_plane.log.waiting_line import Limits, WaitingLine

_log = logging.getLogger(__name__)


class Committer:
    """Implements `application.ports.Log`.

    A workspace always goes through the same lane, so that its items keep their order and never wait for each other's
    head lock. Correctness does not hang on that: other replicas append to the same workspaces.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        ids: IdSource,
        entropy: Callable[[int], bytes],
        random: Callable[[], float],
        policy: Policy = DEFAULT_POLICY,
        lanes: int = 2,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._event_ids = EventIds(lambda: int(clock.now().timestamp() * 1000), entropy)
        self._segments = Segments(database)
        self._founder = Founder(database, ids=ids, event_ids=self._event_ids)
        self._lines = LineStore(database)
        self._listeners: list[Callable[[CommitNotice], None]] = []
        flusher = Flusher(
            policy=policy,
            ids=self._event_ids,
            settings=database.local_settings(Role.COMMITTER),
        )
        self._lanes = [
            Lane(
                WaitingLine(self._limits),
                database.pool(Role.COMMITTER),
                flusher,
                foresee=self._foreseen,
                settled=self._settle,
                make_segments=self._segments.ensure,
                random=random,
            )
            for _ in range(lanes)
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._foresight: Foresight | None = None

    async def start(self) -> None:
        """Make sure that segments exist, then begin to flush."""
        await self._segments.ensure()
        self._tasks = [
            asyncio.create_task(lane.run(), name=f"committer lane {n}")
            for n, lane in enumerate(self._lanes)
        ]

    async def stop(self, grace: float = 10.0) -> None:
        """Take nothing more, write what waits; what can't be written in time is answered Unavailable."""
        for lane in self._lanes:
            lane.line.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            while late:
                # More than once: a cancellation that meets a dying connection comes out as the connection's error.
                for task in late:
                    task.cancel()
                _, late = await asyncio.wait(late, timeout=1.0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def execute(
        self,
        ws: int,
        command: Command,
        *,
        actor: str,
        causation: UUID | None = None,
        traceparent: str = "",
        dedupe: Dedupe | None = None,
    ) -> Committed:
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        key = HashedKey.of(dedupe) if dedupe is not None else None
        await self._put(CommandItem(ws, future, command, actor, causation, traceparent, key))
        return await future

    async def append_facts(self, ws: int, batch: FactsBatch) -> FactsResult:
        future: asyncio.Future[FactsResult] = asyncio.get_running_loop().create_future()
        attempts = [prepare(received, self._event_ids) for received in batch.attempts]
        await self._put(FactsItem(ws, future, attempts, batch.actor, batch.traceparent))
        return await future

    async def append_lines(
        self, ws: int, run: UUID, fence: int, first_line: int, lines: int, content: bytes
    ) -> int:
        return await self._lines.append(ws, run, fence, first_line, lines, content)

    async def found(self, name: str, *, actor: str) -> Workspace:
        workspace, notice = await self._founder.found(name, actor=actor)
        if notice is not None:
            self._notify(notice)
        return workspace

    def on_commit(self, listener: Callable[[CommitNotice], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def foresee_with(self, foresight: Foresight | None) -> None:
        self._foresight = foresight

    async def _put(self, item: Item) -> None:
        await self._lanes[item.ws % len(self._lanes)].line.put(item)

    def _settle(self, flushed: Flushed) -> None:
        """Tell everybody, after the commit and never before it."""
        for notice in flushed.notices:
            self._notify(notice)
        for settle in flushed.settlements:
            settle()

    def _foreseen(self, items: Sequence[Item]) -> list[Item]:
        """What follows from these items, to be carried out behind them. Without it they are appended all the same."""
        if self._foresight is None:
            return []
        of: dict[int, list[Command]] = {}
        for item in items:
            if leading := item.leading:
                of.setdefault(item.ws, []).extend(leading)
        found: list[Item] = []
        for ws, commands in of.items():
            try:
                reactions = self._foresight(ws, commands)
            except Exception:  # noqa: BLE001 - what it would have saved is done after the commit
                _log.exception("nothing was foreseen for workspace %d", ws)
                continue
            found += (
                CommandItem(ws, r.outcome, r.command, r.actor, None, "", None) for r in reactions
            )
        return found

    def _notify(self, notice: CommitNotice) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(notice)
            except Exception:  # noqa: BLE001 - what is committed stays so, whatever a listener does
                _log.exception("a listener failed on a commit of workspace %d", notice.ws)
