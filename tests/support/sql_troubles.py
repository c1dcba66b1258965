"""What people and other programs do to a database by SQL: hold snapshots and locks, take all connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import LiteralString

import psycopg

_PATIENT = "-c idle_in_transaction_session_timeout=0 -c statement_timeout=0"


@contextmanager
def old_snapshot(url: str) -> Iterator[int]:
    """Hold a snapshot, idle in its transaction; gives the backend's pid."""
    with psycopg.connect(url, options=_PATIENT) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM headway.run")
        yield connection.info.backend_pid
        assert not connection.closed, "the snapshot was lost"
        connection.execute("SELECT 1")
        connection.rollback()


@contextmanager
def locked_head(url: str, ws: int) -> Iterator[int]:
    """Hold the lock that every append to a workspace needs; gives the backend's pid."""
    with psycopg.connect(url, options=_PATIENT) as connection:
        connection.execute("SELECT 1 FROM headway.workspace_head WHERE ws = %s FOR UPDATE", [ws])
        yield connection.info.backend_pid
        connection.rollback()


@contextmanager
def locked_table(url: str, table: LiteralString) -> Iterator[None]:
    """Nobody writes into the table until the block ends; it can be read."""
    with psycopg.connect(url, options=_PATIENT) as connection:
        connection.execute(f"LOCK TABLE headway.{table} IN SHARE MODE")
        yield
        connection.rollback()


@contextmanager
def no_connection_left(url: str) -> Iterator[int]:
    """End everybody else's connections and take all that the server gives, until the block ends; gives their number."""
    with ExitStack() as stack:
        held: list[psycopg.Connection] = []
        try:
            while True:
                held += _take_all(url, stack)
                ended = held[0].execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE backend_type = 'client backend' AND pid <> ALL (%s)",
                    [[each.info.backend_pid for each in held]],
                )
                if ended.fetchone() == (0,):
                    break
            yield len(held)
        finally:
            stack.close()


def _take_all(url: str, stack: ExitStack) -> list[psycopg.Connection]:
    taken = []
    while True:
        try:
            connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
        except psycopg.OperationalError:
            return taken
        stack.callback(connection.close)
        taken.append(connection)
