"""Connection pools, one a database role, and the transactions that run on them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from psycopg import AsyncConnection, AsyncCursor
from psycopg.pq import Format, TransactionStatus
from psycopg_pool import AsyncConnectionPool

from headway_control_plane.db.errors import WrongRole
from headway_control_plane.db.roles import Role

SCHEMA = "headway"

Row = tuple[Any, ...]
Connection = AsyncConnection[Row]
Pool = AsyncConnectionPool[Connection]


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections are made and how many are kept.

    Attributes:
        max_size: Most connections of one role.
        acquire_timeout: Seconds that a caller waits for a free connection.
        statement_timeout: Seconds after which the server gives up on a statement; 0 means never.
        lock_timeout: Seconds that a statement waits for a lock; 0 means for ever.
        transaction_pooler: The URL leads to a pooler in transaction mode (PgBouncer): nothing may stay with the
            connection, so no statement is prepared and the role is taken anew in each transaction.
    """

    min_size: int = 1
    max_size: int = 8
    acquire_timeout: float = 10.0
    max_idle: float = 300.0
    statement_timeout: float = 30.0
    lock_timeout: float = 2.0
    transaction_pooler: bool = False


class BinaryCursor(AsyncCursor[Row]):
    """A cursor whose results travel in binary: smaller, and no text to parse."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.format = Format.BINARY


class Pools:
    """A pool for each role that the process acts in. Roles are named at the start, so that a missing grant shows then."""

    def __init__(self, url: str, roles: Iterable[Role], options: PoolOptions | None = None) -> None:
        self.options = options or PoolOptions()
        self._pools = {role: _make_pool(url, role, self.options) for role in roles}

    def __getitem__(self, role: Role) -> Pool:
        return self._pools[role]

    async def open(self) -> None:
        """Open all pools and wait for their first connections."""
        try:
            async with asyncio.TaskGroup() as group:
                for pool in self._pools.values():
                    group.create_task(pool.open(wait=True, timeout=self.options.acquire_timeout))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
