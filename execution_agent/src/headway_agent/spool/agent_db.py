"""agent.db: what the agent must remember beyond its own death. One SQLite file, one thread that uses it.

Changes that wait together are committed together (WAL, synchronous FULL). A change is a function that takes the connection;
one that fails is taken back alone. What nobody is held up by (`hurry=False`) waits a moment for company: each commit is a
sync of the disk.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar

from headway_agent.spool.errors import SpoolFault
from headway_agent.spool.migrations import migrate

__all__ = ["AgentDb", "SpoolFault"]

MOST_AT_ONCE = 500
PATIENCE = 0.05
"""Seconds without another change after which those that can wait are committed, too."""
MOST_PAUSES = 4
T = TypeVar("T")


class AgentDb:
    """Runs changes in groups, on a thread of its own."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._broken: SpoolFault | None = None
        self._thread = threading.Thread(target=self._work, name="agent-db", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens or makes the file and brings its schema up to date."""
        try:
            return cls(path, _connect(path))
        except sqlite3.DatabaseError as error:
            raise SpoolFault(
                f"{path}: {error}. Check the disk and the file's owner. Should the file be damaged, move it away and enrol "
                "this agent again: runs that it had are then taken over as those of a lost agent."
            ) from error

    async def run(self, change: Callable[[sqlite3.Connection], T], *, hurry: bool = True) -> T:
        """Runs a change; returns when it is durable."""
        return await asyncio.wrap_future(self._submit(change, hurry=hurry))

    def run_now(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """The same for callers outside an event loop, as commands are."""
        return self._submit(change).result()

    def close(self) -> None:
        """Finishes what waits, then closes the file. Safe to repeat."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _submit(
        self, change: Callable[[sqlite3.Connection], T], *, hurry: bool = True
    ) -> "Future[T]":
        if not self._thread.is_alive():
            raise SpoolFault(f"{self._path} is closed.")
        future: Future[T] = Future()
        self._queue.put(_Waiting(change, future, hurry=hurry))
        return future

    def _work(self) -> None:
        try:
            while batch := self._next_batch():
                self._commit(batch)
        finally:
            self._connection.close()

    def _next_batch(self) -> "list[_Waiting]":
        """Waits for one change and takes what else is there, or comes while none of them hurries. Empty at the end."""
        batch = [self._queue.get()]
        pauses = MOST_PAUSES
        while (newest := batch[-1]) is not None and len(batch) < MOST_AT_ONCE:
            pauses = 0 if newest.hurry else pauses
            try:
                batch.append(self._next(PATIENCE if pauses else 0.0))
            except queue.Empty:
                break
            pauses = max(0, pauses - 1)
        if batch[-1] is None and len(batch) > 1:
            self._queue.put(None)
        return [waiting for waiting in batch if waiting is not None]

    def _next(self, patience: float) -> "_Waiting | None":
        return self._queue.get(timeout=patience) if patience else self._queue.get_nowait()

    def _commit(self, batch: "list[_Waiting]") -> None:
        # From here on nobody can take a change back: a future that is cancelled while it is answered would end this thread.
        batch = [waiting for waiting in batch if waiting.future.set_running_or_notify_cancel()]
        if self._broken is not None:
            for waiting in batch:
                waiting.future.set_exception(self._broken)
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for waiting in batch:
                waiting.run(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            fault = self._fault(error)
            for waiting in batch:
                waiting.future.set_exception(fault)
        else:
            for waiting in batch:
                waiting.finish()

    def _fault(self, error: sqlite3.Error) -> SpoolFault:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            return SpoolFault(
                f"No space left for {self._path}: free some on that disk; the agent goes on by itself."
            )
        fault = SpoolFault(f"{self._path}: {error}. Check the disk, then start the agent again.")
        # After a failed fsync a second try may report success for lost data, so this file takes no more changes.
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR:
            self._broken = fault
        return fault


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


class _Waiting:
    """A change and whoever waits for it."""

    def __init__(
        self,
        change: Callable[[sqlite3.Connection], Any],
        future: "Future[Any]",
        *,
        hurry: bool,
    ) -> None:
        self._change = change
        self.future = future
        self.hurry = hurry
        self._result: Any = None
        self._error: Exception | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        connection.execute("SAVEPOINT change")
        try:
            self._result = self._change(connection)
        except sqlite3.OperationalError:
            raise  # the disk or the file: that is everybody's trouble
        except Exception as error:
            if type(error) is sqlite3.DatabaseError:
                raise  # a damaged file
            # Handed to the caller; the others' changes stand.
            self._error = error
            connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")

    def finish(self) -> None:
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)
