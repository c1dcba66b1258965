"""What agent.db holds, as typed rows, and the statements on them. Each is a change for `AgentDb.run`."""

import json
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

MOST_WITNESSES = 10_000


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt as agent.db knows it."""

    run: str
    fence: int
    state: str
    run_dir: str
    assignment: dict[str, Any]
    pid: int
    start_time: int
    acked_seq: int
    acked_line: int
    assigned_at_us: int
    closed_at_us: int | None
    forgotten_at_us: int | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is, since it enrolled. Keys are raw Ed25519 keys."""

    agent_id: str
    workspace_id: str
    pool: str
    endpoint: str
    private_key: bytes
    public_key: bytes
    enrolled_at_us: int


class Witnessed(NamedTuple):
    """A place of the log and the head of the hash chain there."""

    epoch: int
    offset: int
    chain: bytes


Change = Callable[[sqlite3.Connection], None]
_ATTEMPT = "run, fence, state, run_dir, assignment, pid, start_time, acked_seq, acked_line, assigned_at_us, closed_at_us, forgotten_at_us"


def assign(
    run: str, fence: int, *, run_dir: str, assignment: dict[str, Any], now_us: int
) -> Change:
    """Records a grant before anything is started for it. A second time it changes nothing."""
    sql = """
        INSERT INTO attempt (run, fence, state, run_dir, assignment, assigned_at_us) VALUES (?, ?, 'assigned', ?, ?, ?)
        ON CONFLICT DO NOTHING"""
    return _statement(sql, run, fence, run_dir, json.dumps(assignment), now_us)


def acked(run: str, fence: int, *, seq: int, line: int) -> Change:
    """Moves the acknowledged positions; never back."""
    sql = "UPDATE attempt SET acked_seq = max(acked_seq, ?), acked_line = max(acked_line, ?) WHERE run = ? AND fence = ?"
    return _statement(sql, seq, line, run, fence)


def closed(run: str, fence: int, *, now_us: int) -> Change:
    sql = "UPDATE attempt SET state = 'closed', closed_at_us = ? WHERE run = ? AND fence = ? AND state <> 'closed'"
    return _statement(sql, now_us, run, fence)


def reopened(closed_ones: Collection[tuple[str, int]]) -> Change:
    """No acknowledgement counts any more, and these are no longer closed."""
    sql = """
        UPDATE attempt SET state = 'running', closed_at_us = NULL, forgotten_at_us = NULL
        WHERE run = ? AND fence = ? AND state = 'closed'"""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE attempt SET acked_seq = 0, acked_line = 0")
        connection.executemany(sql, closed_ones)

    return change


def together(*changes: Change) -> Change:
    """Several changes as one."""

    def change(connection: sqlite3.Connection) -> None:
        for each in changes:
            each(connection)

    return change


def forgotten(run: str, *, now_us: int) -> Change:
    return _statement(
        "UPDATE attempt SET forgotten_at_us = ? WHERE run = ? AND forgotten_at_us IS NULL",
        now_us,
        run,
    )


def removed(run: str) -> Change:
    """The run's directory is gone."""
    return _statement("DELETE FROM attempt WHERE run = ?", run)


def attempts(connection: sqlite3.Connection) -> list[AttemptRow]:
    rows = connection.execute(f"SELECT {_ATTEMPT} FROM attempt ORDER BY run, fence")  # noqa: S608 (a constant)
    return [_row(*row) for row in rows]


def _row(run: str, fence: int, state: str, run_dir: str, assignment: str, *rest: Any) -> AttemptRow:
    return AttemptRow(run, fence, state, run_dir, json.loads(assignment), *rest)


def keep_identity(identity: Identity) -> Change:
    """Keeps who this agent is; a new enrolment takes the place of the old one."""
    sql = "INSERT OR REPLACE INTO identity VALUES (1, ?, ?, ?, ?, ?, ?, ?)"
    return _statement(
        sql,
        identity.agent_id,
        identity.workspace_id,
        identity.pool,
        identity.endpoint,
        identity.private_key,
        identity.public_key,
        identity.enrolled_at_us,
    )


def move_identity(endpoint: str) -> Change:
    """The control plane answers elsewhere now."""
    return _statement("UPDATE identity SET endpoint = ?", endpoint)


def identity(connection: sqlite3.Connection) -> Identity | None:
    row = connection.execute(
        "SELECT agent_id, workspace_id, pool, endpoint, private_key, public_key, enrolled_at_us FROM identity"
    ).fetchone()
    return Identity(*row) if row else None


def next_incarnation(now_us: int) -> Callable[[sqlite3.Connection], int]:
    """Gives this process a number above those of all before it: the time, so that a restored file counts on, unless the clock went back."""

    def change(connection: sqlite3.Connection) -> int:
        (incarnation,) = connection.execute(
            """INSERT INTO process VALUES (1, ?) ON CONFLICT (only)
               DO UPDATE SET incarnation = max(incarnation + 1, excluded.incarnation) RETURNING incarnation""",
            (now_us,),
        ).fetchone()
        return int(incarnation)

    return change


def witness(seen: Witnessed, *, now_us: int) -> Change:
    """Keeps what an acknowledgement said of the log. The first word on a place stands: a second, other one is the proof."""
    return _statement("INSERT OR IGNORE INTO witness VALUES (?, ?, ?, ?)", *seen, now_us)


def trim_witnesses(connection: sqlite3.Connection) -> None:
    """Leaves the newest ones. It counts its way to the oldest of them, so it is not for each that is kept."""
    connection.execute(
        """DELETE FROM witness WHERE (epoch, "offset") <= (
            SELECT epoch, "offset" FROM witness ORDER BY epoch DESC, "offset" DESC LIMIT 1 OFFSET ?)""",
        (MOST_WITNESSES,),
    )


def last_witness(connection: sqlite3.Connection) -> Witnessed | None:
    row = connection.execute(
        'SELECT epoch, "offset", chain FROM witness ORDER BY epoch DESC, "offset" DESC LIMIT 1'
    ).fetchone()
    return Witnessed(*row) if row else None


def _statement(sql: str, *values: object) -> Change:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute(sql, values)

    return change
