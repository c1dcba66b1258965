"""agent.db: what the agent must remember beyond its own death. One SQLite file, one thread that uses it.

Changes that wait together are committed together (WAL, synchronous FULL). A change is a function that takes the connection;
one that fails is taken back alone, and the others beside it are done again: it may be called twice. What nobody is held up by
(`hurry=False`) waits for company on the event loop's side: each commit is a sync of the disk, and each hand-over wakes a thread,
which takes longer than the change.
"""

import asyncio
import contextlib
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
PATIENCE = 0.1
"""Seconds after which those that can wait are committed, too."""
T = TypeVar("T")


class AgentDb:
    """Runs changes in groups, on a thread of its own. `run` is for one event loop at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._queue: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._patient: list[_Waiting] = []
        self._timed_by: asyncio.AbstractEventLoop | None = None
        self._turn_of: asyncio.AbstractEventLoop | None = None
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
        self._check_open()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._patient.append(_Waiting(change, future, loop))
        if hurry:
            # At the end of the turn: what several ask for in it is one commit, and wakes the thread once.
            if self._turn_of is not loop:
                self._turn_of = loop
                loop.call_soon(self._turn_is_over)
        elif self._timed_by is not loop:
            self._timed_by = loop
            loop.call_later(PATIENCE, self._time_is_up)
        return await future

    def run_now(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """The same for callers outside an event loop, as commands are."""
        self._check_open()
        future: Future[T] = Future()
        self._queue.put([_Waiting(change, future, None)])
        return future.result()

    def close(self) -> None:
        """Finishes what waits, then closes the file. Safe to repeat."""
        if self._thread.is_alive():
            self._hand_over()
            self._queue.put(None)
            self._thread.join()

    def _check_open(self) -> None:
        if not self._thread.is_alive():
            raise SpoolFault(f"{self._path} is closed.")

    def _turn_is_over(self) -> None:
        self._turn_of = None
        self._hand_over()

    def _time_is_up(self) -> None:
        self._timed_by = None
        self._hand_over()

    def _hand_over(self) -> None:
        """What waits goes to the thread, in the order in which it came."""
        batch, self._patient = self._patient, []
        if batch:
            self._queue.put(batch)

    def _work(self) -> None:
        try:
            while batch := self._next_batch():
                self._commit(batch)
        finally:
            self._connection.close()

    def _next_batch(self) -> "list[_Waiting]":
        """Waits for changes and takes what else is there. Empty at the end."""
        batch: list[_Waiting] = []
        given = self._queue.get()
        while given is not None:
            batch += given
            if len(batch) >= MOST_AT_ONCE:
                return batch
            try:
                given = self._queue.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._queue.put(None)
        return batch

    def _commit(self, batch: "list[_Waiting]") -> None:
        batch = [waiting for waiting in batch if not waiting.future.cancelled()]
        fault = self._broken
        try:
            if fault is None and batch:
                self._execute(batch)
        except sqlite3.Error as error:
            fault = self._fault(error)
        if fault is not None:
            for waiting in batch:
                waiting.error = fault
        _answer(batch)

    def _execute(self, batch: "list[_Waiting]") -> None:
        """All without marks between them, as none fails as a rule: each statement lets go of the interpreter, and waits to get it
        back from a busy event loop. Where one fails they are done once more, each behind a mark of its own.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        if not all(waiting.run(self._connection) for waiting in batch):
            self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")
            for waiting in batch:
                waiting.run_alone(self._connection)
        self._connection.execute("COMMIT")

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
    """A change and whoever waits for it, in an event loop or outside of one."""

    def __init__(
        self,
        change: Callable[[sqlite3.Connection], Any],
        future: "asyncio.Future[Any] | Future[Any]",
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._change = change
        self.future = future
        self.loop = loop
        self._result: Any = None
        self.error: Exception | None = None

    def run_alone(self, connection: sqlite3.Connection) -> None:
        """Takes it back where it fails; the others' changes stand."""
        connection.execute("SAVEPOINT change")
        if not self.run(connection):
            connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")

    def run(self, connection: sqlite3.Connection) -> bool:
        """Whether it was done; if not, the error is its caller's."""
        self.error = None
        try:
            self._result = self._change(connection)
        except sqlite3.OperationalError:
            raise  # the disk or the file: that is everybody's trouble
        except Exception as error:
            if type(error) is sqlite3.DatabaseError:
                raise  # a damaged file
            self.error = error
        return self.error is None

    def answer(self) -> None:
        if self.future.done():
            return  # whoever asked has given up
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self._result)


def _answer(batch: list[_Waiting]) -> None:
    """Wakes each event loop once for all that it waits for."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in batch:
        if waiting.loop is None:
            waiting.answer()
        else:
            by_loop.setdefault(waiting.loop, []).append(waiting)
    for loop, mine in by_loop.items():
        with contextlib.suppress(RuntimeError):  # it was closed meanwhile: nobody waits any more
            loop.call_soon_threadsafe(_answer_here, mine)


def _answer_here(batch: list[_Waiting]) -> None:
    for waiting in batch:
        waiting.answer()
