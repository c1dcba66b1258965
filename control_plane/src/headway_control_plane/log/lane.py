"""One line of waiting items and the connection that flushes them: what waits when a flush returns is the next flush."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolClosed, PoolTimeout

from headway_control_plane.db.pool import Connection, Pool
from headway_control_plane.log.bisect import isolate
from headway_control_plane.log.draft import BrokenItem
from headway_control_plane.log.flush import Flushed, Flusher, HeadsHeld, OutcomeUnknown
from headway_control_plane.log.items import Item
from headway_control_plane.log.siding import Siding
from headway_control_plane.log.waiting_line import WaitingLine

_log = logging.getLogger(__name__)

_COLLISIONS = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.QueryCanceled,
)
_TRIES = 6
_FIRST_PAUSE = 0.01
_TURNS_TO_REACT = 8
_NO_DATABASE = "The database can't be reached."


class Lane:
    """Flushes a line, one flush at a time, on a connection of its own."""

    def __init__(
        self,
        line: WaitingLine,
        pool: Pool,
        flusher: Flusher,
        *,
        foresee: Callable[[Sequence[Item]], Sequence[Item]],
        settled: Callable[[Flushed], None],
        make_segments: Callable[[], Awaitable[object]],
        random: Callable[[], float],
    ) -> None:
        self.line = line
        self._pool = pool
        self._flusher = flusher
        self._foresee = foresee
        self._settled = settled
        self._make_segments = make_segments
        self._random = random
        self._connection: Connection | None = None
        self._siding = Siding(patience=line.limits.patience, retry_after=line.limits.retry_after)

    async def run(self) -> None:
        """Flush until the line is closed and nothing waits."""
        try:
            while await self._wait():
                batch = self._siding.merge(self.line.take(), _now())
                if batch:
                    await self._append([*batch, *self._foresee(batch)])
                self._siding.settle()
                await _let_react()
        finally:
            self.line.turn_away("The control plane is stopping.")
            self._siding.turn_away("The control plane is stopping.")
            await self._let_go()

    async def _wait(self) -> bool:
        """Wait until something can be tried; False when nothing will ever be."""
        if not self._siding:
            return await self.line.wait()
        pause = self._siding.pause(_now())
        try:
            async with asyncio.timeout(pause):
                if not await self.line.wait():
                    await asyncio.sleep(pause)  # the line is closed: what was put aside is left
        except TimeoutError:
            pass  # time to try again
        return True

    async def _append(self, batch: Sequence[Item]) -> None:
        """Answer every item of a batch, in as few flushes as possible."""
        parts: deque[Sequence[Item]] = deque([batch])
        try:
            while parts:
                part = [item for item in parts.popleft() if not item.future.done()]
                if part:
                    parts.extendleft(reversed(await self._flush(part)))
        except Exception as error:  # noqa: BLE001 - nobody may wait for an answer that never comes
            _log.error("a flush failed in an unforeseen way", exc_info=error)
            self._fail([item for part in (batch, *parts) for item in part], error)
        except BaseException:
            stopping = self.line.unavailable("The control plane is stopping.")
            self._fail([item for part in (batch, *parts) for item in part], stopping)
            raise

    async def _flush(self, items: list[Item]) -> Sequence[Sequence[Item]]:
        """Try to append items together; return smaller lots to try when that can't be."""
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(self._random() * _FIRST_PAUSE * 2**attempt)
            try:
                self._settled(await self._run(items))
            except (PoolTimeout, PoolClosed):
                break
            except HeadsHeld as held:
                self._siding.put([i for i in items if i.ws in held.workspaces], _now())
                return [free] if (free := [i for i in items if i.ws not in held.workspaces]) else ()
            except BrokenItem as broken:
                return _without(items, broken)
            except psycopg.Error as error:
                if not await self._try_again(error):
                    # Without a code it does not come from the server, which refuses values, but from reading rows.
                    return _smaller(items, error, theirs=error.sqlstate is not None)
            except Exception as error:  # noqa: BLE001 - one row that can't be read must not fail what was flushed with it
                _log.error("a flush failed in an unforeseen way", exc_info=error)
                await self._let_go()
                return _smaller(items, error, theirs=False)
            else:
                return ()
        self._fail(items, self.line.unavailable(_NO_DATABASE))
        return ()

    async def _run(self, items: list[Item]) -> Flushed:
        """Flush once; when the outcome of COMMIT is unknown, again until it is known."""
        while True:
            try:
                return await self._flusher.run(await self._connect(), items)
            except OutcomeUnknown as unknown:
                if await self._happened(unknown):
                    return unknown.flushed

    async def _try_again(self, error: psycopg.Error) -> bool:
        """Return whether the same flush may go through later, and do what helps it."""
        if isinstance(error, errors.CheckViolation) and error.diag.constraint_name is None:
            # No row found a partition: the day's was not made.
            _log.warning("a segment was missing and is made now")
            await self._make_segments()
            return True
        if not isinstance(error, psycopg.OperationalError):
            return False
        if not isinstance(error, _COLLISIONS):
            await self._let_go()
        _log.warning("a flush is tried again: %s", error)
        return True

    async def _happened(self, unknown: OutcomeUnknown) -> bool:
        """Find out what became of a COMMIT; ask until somebody answers, for neither yes nor no would be true."""
        await self._let_go()
        if unknown.proof is None:
            return False
        while True:
            try:
                return await self._flusher.was_committed(await self._connect(), unknown.proof)
            except PoolTimeout:
                self.line.turn_away(_NO_DATABASE)
            except psycopg.OperationalError as error:
                await self._let_go()
                _log.warning("the outcome of a flush is still unknown: %s", error)
                await asyncio.sleep(self._random() * _FIRST_PAUSE * 10)

    async def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            await self._let_go()
            connection = await self._pool.getconn()
            self._connection = connection
            self._flusher.prepare(connection)
        return self._connection

    async def _let_go(self) -> None:
        """Give the connection back; one that is not as it was taken is closed first."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                await connection.close()
            await self._pool.putconn(connection)

    def _fail(self, items: Sequence[Item], error: Exception) -> None:
        for item in items:
            if not item.future.done():
                item.future.set_exception(error)


async def _let_react() -> None:
    """Let the event loop turn a few times after a commit, so that what follows from it is in the line for the next flush and not
    for the one after: the grant of the slot that became free takes four turns through the dispatcher. Nobody waits idle.
    """
    for _ in range(_TURNS_TO_REACT):
        await asyncio.sleep(0)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _without(items: Sequence[Item], broken: BrokenItem) -> Sequence[Sequence[Item]]:
    """Keep the order: what stood before the broken item, what it falls into, what stood behind it."""
    cause = broken.__cause__
    assert isinstance(cause, Exception)
    _log.error("an item can't be appended: %r", cause, exc_info=cause)
    at = items.index(broken.item)
    return [items[:at], *([part] for part in isolate(broken.item, cause)), items[at + 1 :]]


def _smaller(items: Sequence[Item], error: Exception, *, theirs: bool) -> Sequence[Sequence[Item]]:
    """Halve a lot that can't be appended; a single item is isolated further."""
    if len(items) == 1:
        _log.warning("an item can't be appended: %s", error)
        return [[part] for part in isolate(items[0], error, theirs=theirs)]
    half = len(items) // 2
    return [items[:half], items[half:]]
