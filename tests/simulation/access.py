"""What a replica takes for its database: connections, transactions, and flushes on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

from psycopg.pq import TransactionStatus
from psycopg_pool import PoolTimeout

from headway_control_plane.domain.commands import GrantRun
from headway_control_plane.log.flush import Flushed, Proof
from headway_control_plane.log.items import CommandItem, Item
from simulation.database import Database


class Connection:
    """Statements are known by their text. Those of one transaction see one instant."""

    def __init__(self, database: Database, statements: Any, *, transaction: bool) -> None:
        self._database = database
        self._statements = statements
        self._transaction = transaction
        self._begun = False
        self.closed = False
        self.info = SimpleNamespace(transaction_status=TransactionStatus.IDLE)

    async def execute(self, sql: str, parameters: Any = None, **_: Any) -> Cursor:
        act = self._statements.find(sql)
        if act is None:
            return Cursor([])
        if self._begun:
            return Cursor(act(parameters or {}))
        self._begun = self._transaction
        return Cursor(await self._database.call(partial(act, parameters or {})))

    async def close(self) -> None:
        self.closed = True

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[None]:
        yield


class Cursor:
    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    async def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    async def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None


class Access:
    """Implements what production code uses of `db.pool.Database`, for one process."""

    def __init__(self, database: Database, statements: Any) -> None:
        self._database = database
        self._statements = statements

    def local_settings(self, role: Any) -> dict[str, str]:
        return {}

    def pool(self, role: Any) -> Access:
        return self

    async def getconn(self) -> Connection:
        if self._database.away:
            await asyncio.sleep(3.0)
        if self._database.away:
            raise PoolTimeout("no connection")
        return Connection(self._database, self._statements, transaction=True)

    async def putconn(self, connection: Connection) -> None:
        """Nothing is pooled."""

    @asynccontextmanager
    async def statements(self, role: Any) -> AsyncIterator[Connection]:
        yield Connection(self._database, self._statements, transaction=False)

    @asynccontextmanager
    async def transaction(self, role: Any, **_: Any) -> AsyncIterator[Connection]:
        yield Connection(self._database, self._statements, transaction=True)


class Flusher:
    """In the place of `log.flush.Flusher`: the same answers, from the modelled database."""

    def __init__(self, database: Database, ids: Any) -> None:
        self._database = database
        self._ids = ids

    def prepare(self, connection: Connection) -> None:
        """A connection needs nothing."""

    async def run(self, connection: Connection, items: Sequence[Item]) -> Flushed:
        database, world = self._database, self._database.world
        grants = any(isinstance(i, CommandItem) and isinstance(i.command, GrantRun) for i in items)
        if grants and world.chance(database.faults.late_grant):
            # Its replica is cut off just now: until the grant arrives, another may own the shard.
            world.happens("grant late")
            until = world.now + world.random.uniform(10.0, 40.0)
            database.stalled_until[asyncio.get_running_loop()] = until
        return await database.call(partial(database.flush, list(items), self._ids), commits=True)

    async def was_committed(self, connection: Connection, proof: Proof) -> bool:
        return await self._database.call(partial(self._database.was_committed, proof))
