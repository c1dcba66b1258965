"""Wake-ups between replicas by NOTIFY: hints, never truth. What they miss, a sweep finds within a second.

A shard's first commit is announced at once, further ones at most every 50 ms, on a connection of its own and after the
commit: NOTIFY inside the appending transaction would make all commits of the database wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Self
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolTimeout

from headway_control_plane.application.ports import CommitNotice, Log
from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.roles import Role

CHANNEL = "headway_log"
_QUIET_SECONDS = 0.05
_PROBE_SECONDS = 5.0
_RETRY_SECONDS = 5.0
_PAYLOAD_SHARDS = 1_000  # a payload has less than 8000 bytes
_SHARDS = re.compile(r"[0-9]{1,4}(,[0-9]{1,4})*")
# A transaction that notifies is flushed like one that writes; for a hint nobody needs to wait for that.
_NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"
_log = logging.getLogger(__name__)


class NotifyHints:
    """Implements `application.ports.Hints`. `replica` keeps a process from waking itself twice."""

    def __init__(self, database: Database, log: Log, *, replica: UUID) -> None:
        self._database = database
        self._log = log
        self._replica = replica.hex
        self._listeners: list[Callable[[int], None]] = []
        self._remote_listeners: list[Callable[[int], None]] = []
        self._waiting: set[int] = set()
        self._quiet: set[int] = set()
        self._dirty = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._end: Callable[[], None] | None = None
        self._stopping = asyncio.Event()
        self.heard = asyncio.Event()  # set while LISTEN is known to work

    def on_hint(self, listener: Callable[[int], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def on_remote_hint(self, listener: Callable[[int], None]) -> Callable[[], None]:
        self._remote_listeners.append(listener)
        return lambda: self._remote_listeners.remove(listener)

    async def start(self) -> None:
        self._stopping.clear()
        self._end = self._log.on_commit(self._on_commit)
        self._tasks = [
            asyncio.create_task(self._keep(self._speak), name="hints out"),
            asyncio.create_task(self._keep(self._listen), name="hints in"),
        ]

    async def stop(self) -> None:
        self._stopping.set()
        if self._end is not None:
            self._end()
            self._end = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []

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

    def _on_commit(self, notice: CommitNotice) -> None:
        self._deliver(notice.shard)
        self._waiting.add(notice.shard)
        if notice.shard not in self._quiet:
            self._dirty.set()

    def _deliver(self, shard: int) -> None:
        for listener in tuple(self._listeners):
            listener(shard)

    async def _keep(self, work: Callable[[Connection], Awaitable[None]]) -> None:
        """Run one direction on a connection of its own; after a loss, again with a new one."""
        # A cancellation that meets a dying connection comes out as the connection's error; hence the flag.
        while not self._stopping.is_set():
            try:
                async with self._database.pool(Role.COMMITTER).connection() as connection:
                    try:
                        await work(connection)
                    finally:
                        await _tidy(connection)
            except (psycopg.OperationalError, PoolTimeout) as error:
                if self._stopping.is_set():
                    return
                _log.warning("hints pause, followers poll meanwhile: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _speak(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            due = sorted(self._waiting - self._quiet)[:_PAYLOAD_SHARDS]
            if not due:
                continue
            payload = f"{self._replica} {','.join(map(str, due))}"
            await connection.execute(_NOTIFY, [CHANNEL, payload])
            self._waiting.difference_update(due)
            self._quiet.update(due)
            loop.call_later(_QUIET_SECONDS, self._speak_again, due)

    def _speak_again(self, shards: list[int]) -> None:
        self._quiet.difference_update(shards)
        if self._waiting:
            self._dirty.set()

    async def _listen(self, connection: Connection) -> None:
        """Hear other replicas. Behind a transaction pooler LISTEN succeeds and nothing ever comes, hence the probe."""
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        probe = f"{self._replica} probe"
        await connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, probe])
        # Closed explicitly: a suspended generator keeps the connection's lock.
        async with aclosing(connection.notifies(timeout=_PROBE_SECONDS)) as heard:
            async for notify in heard:
                if notify.payload == probe:
                    self.heard.set()
                    break
        if not self.heard.is_set():
            raise psycopg.OperationalError("LISTEN hears nothing; is there a transaction pooler?")
        try:
            async with aclosing(connection.notifies()) as heard:
                async for notify in heard:
                    self._hear(notify.payload)
        finally:
            self.heard.clear()

    def _hear(self, payload: str) -> None:
        replica, _, shards = payload.partition(" ")
        # Probes are for whoever sent them, and anybody may notify on a channel.
        if replica == self._replica or not _SHARDS.fullmatch(shards):
            return
        for shard in map(int, shards.split(",")):
            self._deliver(shard)
            for listener in tuple(self._remote_listeners):
                listener(shard)


async def _tidy(connection: Connection) -> None:
    """Make sure that LISTEN does not reach the connection's next user."""
    if connection.info.transaction_status is TransactionStatus.IDLE:
        await connection.execute("UNLISTEN *")
    else:
        await connection.close()
