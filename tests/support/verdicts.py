"""The checkers: each looks at one history - the log, agents' files, a subscriber's memory - and says what contradicts an invariant.

They know nothing of faults. `load.judge` runs them all at the end of a trial.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from headway_control_plane.application.ports import Cursor, Witness
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.log.invariants import Fact, Violation, check
from headway_control_plane.log.reader import Reader
from headway_control_plane.projections.task_timeline import TaskTimeline
from headway_control_plane.projections.verify import verify
from support.subscriber import Seen


@dataclass(frozen=True, slots=True)
class Told:
    """What one agent was told by the control plane and wrote into its agent.db before it believed it."""

    workspace: UUID
    acknowledged: frozenset[Fact]
    witnesses: tuple[Witness, ...]


@dataclass(frozen=True, slots=True)
class Logged:
    """One workspace's log from the outside."""

    ws: int
    workspace: UUID
    events: tuple[Seen, ...]
    chains: Mapping[Cursor, bytes]


def told(state: Path) -> Told | None:
    """Read an agent's state directory; None before it enrolled."""
    database = state / "agent.db"
    if not database.exists():
        return None
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        identity = connection.execute("SELECT workspace_id FROM identity").fetchone()
        attempts = connection.execute("SELECT run, fence, acked_seq FROM attempt").fetchall()
        witnesses = connection.execute('SELECT epoch, "offset", chain FROM witness').fetchall()
    if identity is None:
        return None
    return Told(
        UUID(identity[0]),
        frozenset((UUID(run), fence, n + 1) for run, fence, last in attempts for n in range(last)),
        tuple(Witness(Cursor(epoch, offset), chain) for epoch, offset, chain in witnesses),
    )


def workspace_of(url: str, run: str) -> int:
    """The workspace that a run belongs to."""
    with _connect(url) as connection:
        row = connection.execute("SELECT ws FROM run WHERE run = %s", [run]).fetchone()
    assert row is not None, f"run {run} is acknowledged and not in the database"
    return int(row[0])


def logged(url: str, ws: int) -> Logged:
    """Read a workspace's whole log. What earlier epochs left is read under the present one, as subscribers read it."""
    with _connect(url) as connection:
        workspace, present = connection.execute(
            "SELECT w.id, h.epoch FROM workspace w JOIN workspace_head h USING (ws) WHERE ws = %s",
            [ws],
        ).fetchone() or (None, 0)
        assert workspace is not None
        rows = connection.execute(
            'SELECT epoch, "offset", event_id, chain FROM event WHERE ws = %s ORDER BY "offset"',
            [ws],
        ).fetchall()
    events = tuple(Seen(f"{present}:{offset}", str(id_)) for _, offset, id_, _ in rows)
    chains = {Cursor(epoch, offset): bytes(chain) for epoch, offset, _, chain in rows}
    return Logged(ws, workspace, events, chains)


async def log_violations(url: str, known: Sequence[Told]) -> list[Violation]:
    """1 to 6, 8 and 10, over every workspace; what agents were told counts as acknowledged."""
    found: list[Violation] = []
    async with Database(url, (Role.AUDITOR, Role.AUTH)) as database:
        async with database.transaction(Role.AUTH) as connection:
            rows = await (
                await connection.execute("SELECT ws, id FROM headway.workspace ORDER BY ws")
            ).fetchall()
        reader = Reader(database, role=Role.AUDITOR)
        for ws, workspace in rows:
            mine = [each for each in known if each.workspace == workspace]
            facts: set[Fact] = set().union(*(each.acknowledged for each in mine))
            kept = facts - _kept_apart(url, ws)
            found += await check(database, reader, ws, workspace, acknowledged=kept)
    return found


def witness_violations(log: Logged, known: Iterable[Told]) -> list[str]:
    """10: every place of the log that an agent remembers is as it was, in the epochs that still stand."""
    newest = max((cursor.epoch for cursor in log.chains), default=0)
    return [
        f"an agent remembers {w.cursor} with {w.chain.hex()}, the log holds {_hex(log.chains.get(w.cursor))}"
        for each in known
        if each.workspace == log.workspace
        for w in each.witnesses
        if w.cursor.epoch == newest and log.chains.get(w.cursor) != w.chain
    ]


async def projection_violations(url: str, ws: int, offset: int) -> list[str]:
    """9: what is shown is what the log tells. `offset`: how far the projection must have come at least."""
    async with Database(url, (Role.PROJECTOR, Role.DISPATCHER)) as database:
        reader = Reader(database, role=Role.PROJECTOR)
        proof = await verify(database, reader, TaskTimeline(), ws)
    found = [str(difference) for difference in proof.comparison.differences]
    if proof.failure:
        found.append(f"the projection stands still: {proof.failure}")
    if proof.unknown_events != proof.unknown_in_replay:
        found.append(
            f"{proof.unknown_events} events of unknown types, in a replay {proof.unknown_in_replay}"
        )
    if proof.checkpoint.offset < offset:
        found.append(f"the projection is at {proof.checkpoint}, the log at {offset}")
    return found


def projection_offset(url: str, ws: int) -> int:
    """How far what is shown has come."""
    asked = (
        'SELECT min("offset") FROM projection_checkpoint JOIN projection_active'
        " USING (projection, version) WHERE ws = %s"
    )
    return _number(url, asked, [ws])


def head_offset(url: str, ws: int) -> int:
    """The newest event of a workspace."""
    return _number(url, 'SELECT "offset" FROM workspace_head WHERE ws = %s', [ws])


def projection_version(url: str) -> int:
    """Which version of what is shown is read."""
    return _number(url, "SELECT min(version) FROM projection_active", [])


def has_shadow(url: str) -> bool:
    """Whether somebody is making a newer version just now."""
    asked = (
        "SELECT count(*) FROM projection_checkpoint c JOIN projection_active a USING (projection)"
        " WHERE c.version > a.version"
    )
    return _number(url, asked, []) > 0


def count_events(url: str, type_: str) -> int:
    """How many events of a type all logs hold."""
    return _number(url, "SELECT count(*) FROM event WHERE type = %s", [type_])


def _kept_apart(url: str, ws: int) -> set[Fact]:
    """Late facts: acknowledged as such, kept, and never in the log."""
    with _connect(url) as connection:
        rows = connection.execute(
            "SELECT run, fence, seq FROM late_fact WHERE ws = %s", [ws]
        ).fetchall()
    return {(run, int(fence), int(seq)) for run, fence, seq in rows}


def _number(url: str, asked: str, values: Sequence[object]) -> int:
    with _connect(url) as connection:
        row = connection.execute(asked, values).fetchone()
    return int(row[0]) if row is not None and row[0] is not None else 0


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(url, autocommit=True, options="-c search_path=headway")


def _hex(chain: bytes | None) -> str:
    return "nothing there" if chain is None else chain.hex()
