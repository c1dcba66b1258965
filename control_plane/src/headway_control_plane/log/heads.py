"""Tells waiting readers that a workspace's log may have grown: at once for commits of this process, soon for others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from headway_control_plane.application.ports import CommitNotice, Cursor, Hints, Log
from headway_control_plane.db.pool import Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role

SWEEP_SECONDS = 1.0
_log = logging.getLogger(__name__)
_SQL = load_queries("headway_control_plane.log", "heads.sql")

T = TypeVar("T")
_Looks = dict[tuple[int, Cursor], asyncio.Task[Any]]


class Watched:
    """One reader's view of one workspace. Marks are numbers that grow with each change."""

    def __init__(self, state: _Workspace) -> None:
        self._state = state

    def mark(self) -> int:
        """Return the present mark: taken before a read, so that a change during it is not missed."""
        return self._state.mark

    async def changed(self, mark: int) -> None:
        """Wait until something changed behind a mark."""
        while self._state.mark == mark:
            await self._state.bell.wait()

    async def look(self, mark: int, place: Cursor, read: Callable[[], Awaitable[T]]) -> T:
        """Read what lies behind a place, together with all readers that stand there and saw the same mark.

        A change wakes a hundred readers at once: one of them looks, and the look began after the mark for each of them.
        """
        looks = self._state.looks
        task: asyncio.Task[T] | None = looks.get((mark, place))
        if task is None:
            task = looks[mark, place] = asyncio.ensure_future(read())
            task.add_done_callback(lambda ended: _forget(looks, (mark, place), ended))
        return await asyncio.shield(task)  # whoever leaves does not take it from the others


def _forget(looks: _Looks, key: tuple[int, Cursor], ended: asyncio.Task[Any]) -> None:
    del looks[key]
    if not ended.cancelled():
        ended.exception()  # all who waited may have left


class _Workspace:
    def __init__(self) -> None:
        self.mark = 0
        self.bell = asyncio.Event()
        self.head: Cursor | None = None
        self.readers = 0
        self.looks: _Looks = {}

    def ring(self) -> None:
        self.mark += 1
        self.bell.set()
        self.bell = asyncio.Event()


class HeadWatch:
    """Knows which workspaces are followed, and asks for all their heads at once, each second and at each hint."""

    def __init__(
        self,
        database: Database,
        log: Log | None = None,
        hints: Hints | None = None,
        *,
        interval: float = SWEEP_SECONDS,
    ) -> None:
        self._database = database
        self._log = log
        self._hints = hints
        self._interval = interval
        self._followed: dict[int, _Workspace] = {}
        self._hinted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._endings: list[Callable[[], None]] = []
        self._stopping = False

    @contextmanager
    def watch(self, ws: int) -> Iterator[Watched]:
        """Follow a workspace for as long as the context lasts."""
        state = self._followed.setdefault(ws, _Workspace())
        state.readers += 1
        try:
            yield Watched(state)
        finally:
            state.readers -= 1
            if not state.readers:
                self._followed.pop(ws, None)

    async def start(self) -> None:
        """Listen to commits and hints, and sweep."""
        self._stopping = False
        if self._log is not None:
            self._endings.append(self._log.on_commit(self._on_commit))
        if self._hints is not None:
            self._endings.append(self._hints.on_hint(self._on_hint))
        self._task = asyncio.create_task(self._run(), name="head watch")

    async def stop(self) -> None:
        self._stopping = True
        for end in self._endings:
            end()
        self._endings.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

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

    async def sweep(self) -> None:
        """Look at the heads of all followed workspaces, in one statement."""
        followed = list(self._followed)
        if not followed:
            return
        async with self._database.transaction(Role.PROJECTOR, workspaces=followed) as connection:
            rows = await (await connection.execute(_SQL["heads"])).fetchall()
        for ws, epoch, offset in rows:
            self._note(ws, Cursor(epoch, offset))

    async def _run(self) -> None:
        # A cancellation that meets a dying connection comes out as the connection's error; hence the flag.
        while not self._stopping:
            try:
                async with asyncio.timeout(self._interval):
                    await self._hinted.wait()
            except TimeoutError:
                pass  # nobody hinted: time for the regular look
            self._hinted.clear()
            try:
                await self.sweep()
            except (psycopg.OperationalError, PoolTimeout) as error:
                _log.warning("followers wait, the heads can't be read: %s", error)

    def _on_commit(self, notice: CommitNotice) -> None:
        self._note(notice.ws, notice.last)

    def _on_hint(self, shard: int) -> None:
        del shard  # one statement looks at them all
        self._hinted.set()

    def _note(self, ws: int, head: Cursor) -> None:
        state = self._followed.get(ws)
        if state is None or state.head == head:
            return
        # A sweep that began before a commit may come in after its notice; ringing once too often is harmless.
        state.head = head
        state.ring()
