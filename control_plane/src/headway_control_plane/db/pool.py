"""Connection pools, one a database role, and the transactions that run on them."""

import asyncio
import select
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from headway_control_plane.db.errors import CannotConnect
from headway_control_plane.db.roles import Role

SCHEMA = "headway"

Row = tuple[Any, ...]
Connection = AsyncConnection[Row]
Pool = AsyncConnectionPool[Connection]

# Row-level security reads these; a transaction sets both, so that nothing an earlier one left is ever read.
_NO_WORKSPACE = {"app.ws": "", "app.workspaces": ""}
_SEES_ALL_WORKSPACES = frozenset({Role.OWNER, Role.MAINTENANCE, Role.DISPATCHER, Role.AUTH})
# The pool doubles its pauses without a limit; giving up early lets the next caller try at once.
_RECONNECT_SECONDS = 10.0
# A router that forgot a connection tells neither end. Left to itself the kernel finds out after a quarter of an hour of
# sending, and after two hours of listening; until then whatever waits on that connection would stand still.
_DEAD_LINK = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections are made and how many are kept.

    Attributes:
        min_size: Connections of a role that stand ready.
        max_size: Most connections of a role.
        acquire_timeout: Seconds that a caller waits for a free connection.
        statement_timeout: Seconds after which the server gives up on a statement; 0 means never.
        lock_timeout: Seconds that a statement waits for a lock; 0 means for ever.
        transaction_pooler: The URL leads to a pooler in transaction mode (PgBouncer): nothing may stay with the
            connection, so no statement is prepared, and role and settings are taken anew in each transaction.
    """

    min_size: int = 1
    max_size: int = 8
    acquire_timeout: float = 10.0
    statement_timeout: float = 30.0
    lock_timeout: float = 2.0
    transaction_pooler: bool = False


class BinaryCursor(AsyncCursor[Row]):
    """A cursor whose results travel in binary: smaller, and no text to parse."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.format = Format.BINARY


class Database:
    """The pools of one process. Its roles are named at the start, so that a missing grant shows then."""

    def __init__(self, url: str, roles: Iterable[Role], options: PoolOptions | None = None) -> None:
        self._url = url
        self.options = options or PoolOptions()
        self._pools = {role: _make_pool(url, role, self.options) for role in roles}

    def pool(self, role: Role) -> Pool:
        """Return the bare pool of a role, for callers that run their own transactions on a direct connection."""
        return self._pools[role]

    def local_settings(self, role: Role) -> dict[str, str]:
        """Return what a transaction on a bare connection has to set first; nothing on a direct connection."""
        return _local_settings(role, self.options)

    @asynccontextmanager
    async def transaction(
        self,
        role: Role,
        *,
        ws: int | None = None,
        workspaces: Iterable[int] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Connection]:
        """Run a transaction in a role, seeing one workspace (app) or the named ones (committer, projector).

        The settings that row-level security reads end with the transaction, as do those of `settings`. Without a
        workspace the policies let no tenant's row through.
        """
        local = self.local_settings(role)
        if role not in _SEES_ALL_WORKSPACES:
            local |= _NO_WORKSPACE
        if ws is not None:
            local["app.ws"] = str(ws)
        if workspaces is not None:
            local["app.workspaces"] = "{" + ",".join(map(str, workspaces)) + "}"
        begin = _begin(local | dict(settings or {}))
        async with self._pools[role].connection() as connection:
            # One round trip for all of it; that takes a cursor of the simple protocol.
            await AsyncCursor(connection).execute(begin)
            yield connection  # the pool commits, or rolls back after an error

    @asynccontextmanager
    async def statements(self, role: Role) -> AsyncIterator[Connection]:
        """Lend a connection on which each statement is a transaction of its own, for roles that see all workspaces."""
        assert role in _SEES_ALL_WORKSPACES, "a workspace is set for a transaction"
        if self.options.transaction_pooler:
            async with self.transaction(role) as connection:
                yield connection
        else:
            async with self._pools[role].connection() as connection:
                yield connection

    async def answers(self, role: Role, seconds: float) -> bool:
        """Return whether a role gets an answer within so many seconds."""
        try:
            async with (
                asyncio.timeout(seconds),
                self._pools[role].connection(timeout=seconds) as connection,
            ):
                await connection.execute("SELECT 1")
        except (TimeoutError, PoolTimeout, psycopg.OperationalError):
            return False
        return True

    async def open(self) -> None:
        """Open all pools and wait for their first connections."""
        for role in self._pools:
            await _try_out(self._url, role, self.options)
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
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _make_pool(url: str, role: Role, options: PoolOptions) -> Pool:
    return AsyncConnectionPool(
        url,
        kwargs=_connect_arguments(url, role, options),
        min_size=options.min_size,
        max_size=max(options.min_size, options.max_size),
        timeout=options.acquire_timeout,
        reconnect_timeout=_RECONNECT_SECONDS,
        check=_check_if_disturbed,
        name=role.value,
        open=False,
    )


def _connect_arguments(url: str, role: Role, options: PoolOptions) -> dict[str, Any]:
    said = conninfo_to_dict(url)
    arguments: dict[str, Any] = {
        **{name: value for name, value in _DEAD_LINK.items() if name not in said},
        "autocommit": True,  # transactions are begun in words, settings and all
        "cursor_factory": BinaryCursor,
        "application_name": f"headway {role.name.lower()}",
        "connect_timeout": max(2, int(options.acquire_timeout)),
    }
    if options.transaction_pooler:
        arguments["prepare_threshold"] = None
    else:
        settings = {"role": role.value, **_session_settings(role, options)}
        arguments["options"] = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return arguments


# What these roles say looks rows up by key, a few at a time, however large the tables are. So one plan is as good as any,
# and planning anew took longer than executing; nor may a plan that was made while a table was small read all of it later.
BY_KEY = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
LOOKS_UP_BY_KEY = frozenset({Role.COMMITTER, Role.PROJECTOR, Role.AUTH})


def _session_settings(role: Role, options: PoolOptions) -> dict[str, str]:
    return (BY_KEY if role in LOOKS_UP_BY_KEY else {}) | {
        "search_path": SCHEMA,
        # Instants are read in this zone; in another the last hours of Python's calendar can't be.
        "timezone": "UTC",
        "statement_timeout": f"{options.statement_timeout * 1000:.0f}",
        "lock_timeout": f"{options.lock_timeout * 1000:.0f}",
        "idle_in_transaction_session_timeout": "10000",
    }


def _local_settings(role: Role, options: PoolOptions) -> dict[str, str]:
    """Return what each transaction sets; on a direct connection the role and the rest stand since it was made."""
    return (
        {"role": role.value, **_session_settings(role, options)}
        if options.transaction_pooler
        else {}
    )


async def _try_out(url: str, role: Role, options: PoolOptions) -> None:
    """Connect once outside the pool, which retries and would hide why it cannot."""
    try:
        connection = await AsyncConnection.connect(url, **_connect_arguments(url, role, options))
        async with connection:
            await connection.execute("SELECT set_config('role', %s, true)", [role.value])
    except psycopg.Error as error:
        raise CannotConnect(
            f"Cannot connect to the database as {role.value}: {str(error).strip()}",
            next_step="Check --database-url and that its login may act in Headway's roles: headway server migrate",
        ) from error


async def _check_if_disturbed(connection: Connection) -> None:
    """Test a connection only when its socket has something to say, which an idle one does when the server went away."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)


def _begin(settings: Mapping[str, str]) -> bytes:
    """Return the statements that begin a transaction. Names are ours, values are quoted."""
    parts = [f"SET LOCAL {name} = {_quoted(value)}" for name, value in settings.items()]
    return "; ".join(["BEGIN", *parts]).encode()


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
