"""The transaction of a flush.

Two round trips. The first locks the head rows of all its workspaces, in order, in a statement of its own; what follows
it (the time, the rows that decisions read) has a snapshot taken after the wait. The second writes and commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import AsyncCursor, errors

from headway_control_plane.application.ports import CommitNotice
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries
from headway_control_plane.domain.commands import GrantRun
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log import packed
from headway_control_plane.log.columns import INSERT_EVENTS, INSERT_LATE, EventColumns, Head
from headway_control_plane.log.draft import Draft, Settlement, StoredResponse
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.items import CommandItem, Item
from headway_control_plane.log.row_table import RowTable
from headway_control_plane.log.rows import Loader, Moved, Wanted
from headway_control_plane.log.rows_children import CHILDREN

Row = tuple[Any, ...]

_SQL = load_queries("headway_control_plane.log", "flush.sql")
_SEGMENTS = RowTable(
    "segment_index",
    ("ws", "seg"),
    {"ws": "int8", "seg": "int4", "first_offset": "int8"},
    fixed=("first_offset",),
)
_DEDUPE = RowTable(
    "command_dedupe",
    ("ws", "key_hash"),
    {
        "ws": "int8",
        "key_hash": "bytes",
        "request_hash": "bytes",
        "response": "bytes",
        "expires_at": "instant",
    },
)
# A lock that is not to be had by then is tried for again later, and the lane goes on with what else there is.
_BRIEFLY = {"lock_timeout": "100"}
_PAYLOADS = ("int8", "bytes", "bytes")
_HEADS = ("int8", "int8", "int4", "bytes", "instant")


@dataclass(frozen=True, slots=True)
class Proof:
    """What is in the log if, and only if, a certain flush was committed: the chain holds random event ids."""

    ws: int
    seg: int
    offset: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class Flushed:
    """A committed flush."""

    settlements: Sequence[Settlement]
    notices: Sequence[CommitNotice]
    events: int


class OutcomeUnknown(Exception):
    """The connection was lost around COMMIT. `proof` tells whether `flushed` is what happened; without one nothing was written that counts."""

    def __init__(self, flushed: Flushed, proof: Proof | None) -> None:
        super().__init__("the connection was lost while a flush was being committed")
        self.flushed = flushed
        self.proof = proof


class HeadsHeld(Exception):
    """Somebody else holds the heads of these workspaces; nothing was appended to any."""

    def __init__(self, workspaces: frozenset[int]) -> None:
        super().__init__(f"the heads of workspaces {sorted(workspaces)} are held")
        self.workspaces = workspaces


class Flusher:
    """Runs flushes on a connection that its caller owns, prepared by `prepare`."""

    def __init__(
        self, *, policy: Policy, ids: EventIds, settings: Mapping[str, str] | None = None
    ) -> None:
        self._policy = policy
        self._ids = ids
        self._settings = dict(settings or {})

    def prepare(self, connection: Connection) -> None:
        """Make a connection fit for flushes."""
        packed.register(connection)

    async def run(self, connection: Connection, items: Sequence[Item]) -> Flushed:
        """Append what the items say, in one transaction.

        Raises:
            OutcomeUnknown: The connection was lost after the writes were sent.
            HeadsHeld: Some workspaces can't be appended to now; nothing was appended.
            BrokenItem: One item can't be carried out; nothing was appended.
            psycopg.Error: Nothing was appended.
        """
        try:
            draft = await self._decide(connection, items)
            flushed = Flushed(draft.settlements, draft.notices(), draft.columns.count)
            if not draft.writes:
                await connection.execute("ROLLBACK")
                return flushed
        except errors.LockNotAvailable as error:
            await roll_back(connection)
            raise HeadsHeld(frozenset(item.ws for item in items)) from error
        except BaseException:
            await roll_back(connection)
            raise
        await self._commit(connection, draft, flushed)
        return flushed

    async def was_committed(self, connection: Connection, proof: Proof) -> bool:
        """Find out what became of a flush. Its head lock makes this wait for a COMMIT that is still under way."""
        async with connection.transaction():
            await set_locally(connection, [proof.ws], self._settings)
            await connection.execute(_SQL["lock_heads"], [[proof.ws]])
            found = await connection.execute(
                _SQL["find_proof"], [proof.ws, proof.seg, proof.offset, proof.chain]
            )
            return await found.fetchone() is not None

    async def _decide(self, connection: Connection, items: Sequence[Item]) -> Draft:
        workspaces = sorted({item.ws for item in items})
        wanted = Wanted()
        for item in items:
            item.want(wanted)
        keys = [
            (item.ws, item.dedupe.key_hash)
            for item in items
            if isinstance(item, CommandItem) and item.dedupe is not None
        ]
        grants = any(isinstance(i, CommandItem) and isinstance(i.command, GrantRun) for i in items)
        loader = Loader()
        async with connection.pipeline():
            await connection.execute("BEGIN")
            await set_locally(connection, workspaces, self._settings | _BRIEFLY)
            heads, time = await lock_heads(connection, workspaces)
            epochs = await _maybe(connection, "shard_epochs", [workspaces], wanted=grants)
            responses = await _maybe(
                connection,
                "responses",
                packed.pack_rows(("int8", "bytes"), keys),
                wanted=bool(keys),
            )
            if wanted.topics:
                await _want_waiting(connection, wanted)
            await loader.send(connection, wanted)
        locked, now = await read_heads(heads, time)
        if len(locked) < len(workspaces):
            await self._require_free(connection, [ws for ws in workspaces if ws not in locked])
        shard_epochs: dict[int, int] = dict(await epochs.fetchall()) if epochs else {}
        states = {ws: States(shard_epochs.get(head.shard, 0)) for ws, head in locked.items()}
        stored = await responses.fetchall() if responses else ()
        draft = Draft(
            locked,
            await loader.receive(states),
            {(ws, key): StoredResponse(asked, answer) for ws, key, asked, answer in stored},
            now=now,
            policy=self._policy,
            ids=self._ids,
        )
        for item in items:
            draft.add(item)
        return draft

    async def _require_free(self, connection: Connection, missing: list[int]) -> None:
        """Raise HeadsHeld when heads could not be locked; those that are not there at all are for the draft to refuse."""
        found = await connection.execute(_SQL["known_heads"], [missing])
        if held := frozenset(ws for (ws,) in await found.fetchall()):
            raise HeadsHeld(held)

    async def _commit(self, connection: Connection, draft: Draft, flushed: Flushed) -> None:
        moved = Moved()
        heads = [head for head in draft.heads.values() if head.moved]
        for head in heads:
            moved.collect(head.ws, head.shard, draft.states[head.ws])
        try:
            async with connection.pipeline():
                await _write(connection, draft, heads, moved)
                committed = await connection.execute("COMMIT", prepare=False)
        except psycopg.OperationalError as error:
            if not connection.closed:
                await roll_back(connection)
                raise
            raise OutcomeUnknown(flushed, _proof(heads)) from error
        except BaseException:
            await roll_back(connection)
            raise
        # PostgreSQL answers a COMMIT of a failed transaction with ROLLBACK, and no error.
        if committed.statusmessage != "COMMIT":
            raise psycopg.InternalError("the server rolled a flush back without an error")


async def set_locally(
    connection: Connection, workspaces: Sequence[int], settings: Mapping[str, str]
) -> None:
    """Name the workspaces of this transaction for row-level security, and set what a transaction pooler forgets."""
    names = ["app.workspaces", *settings]
    values = ["{" + ",".join(map(str, workspaces)) + "}", *settings.values()]
    await connection.execute(_SQL["set_locally"], [names, values], prepare=True)


async def roll_back(connection: Connection) -> None:
    """End the transaction after a failure; a connection that cannot even do that is closed."""
    if connection.closed:
        return
    try:
        await connection.execute("ROLLBACK")
    except psycopg.Error:
        await connection.close()


async def write_events(
    connection: Connection, columns: EventColumns, heads: Sequence[Head]
) -> None:
    """Queue the events of these heads, the heads themselves, and the segments that begin with them."""
    await connection.execute(INSERT_EVENTS, columns.arrays(), prepare=True)
    rows = [(head.ws, head.offset, head.seg, head.chain, head.recorded_at) for head in heads]
    await connection.execute(_SQL["move_heads"], packed.pack_rows(_HEADS, rows), prepare=True)
    opened = [
        (head.ws, head.seg, head.segment_opened)
        for head in heads
        if head.segment_opened is not None
    ]
    await _SEGMENTS.upsert(connection, opened)


async def lock_heads(
    connection: Connection, workspaces: Sequence[int]
) -> tuple[AsyncCursor[Row], AsyncCursor[Row]]:
    """Lock head rows, in order and in a statement of their own, then take the time: cursors for `read_heads`.

    One alone is waited for; of several those that somebody else holds are left out, so that none waits for another's.
    """
    statement = _SQL["lock_heads" if len(workspaces) == 1 else "lock_free_heads"]
    heads = await connection.execute(statement, [list(workspaces)], prepare=True)
    return heads, await connection.execute(_SQL["time_after_locks"], prepare=True)


async def read_heads(
    heads: AsyncCursor[Row], time: AsyncCursor[Row]
) -> tuple[dict[int, Head], datetime]:
    """Return the locked heads, set to the time after the locks, and that time."""
    row = await time.fetchone()
    assert row is not None
    return {head[0]: _head(head, row[0]) for head in await heads.fetchall()}, row[0]


async def _write(connection: Connection, draft: Draft, heads: Sequence[Head], moved: Moved) -> None:
    if draft.columns.count:
        await write_events(connection, draft.columns, heads)
    if draft.payloads:
        contents = [(ws, digest, content) for (ws, digest), content in draft.payloads.items()]
        await connection.execute(
            _SQL["keep_payloads"], packed.pack_rows(_PAYLOADS, contents), prepare=True
        )
    if draft.late.count:
        await connection.execute(INSERT_LATE, draft.late.arrays(), prepare=True)
    await _DEDUPE.upsert(connection, draft.dedupe_rows)
    await CHILDREN.upsert(connection, draft.child_rows)
    await moved.store(connection)


async def _want_waiting(connection: Connection, wanted: Wanted) -> None:
    """Behind the head locks, so that nobody begins or ends a wait meanwhile."""
    topics = [(ws, topic.hex().encode()) for ws, topic in sorted(wanted.topics)]
    found = await connection.execute(
        _SQL["waiting_for"], packed.pack_rows(("int8", "bytes"), topics), prepare=True
    )
    for ws, run in await found.fetchall():
        wanted.add(ws, (Stream(StreamKind.RUN, run),))


def _head(row: Row, now: datetime) -> Head:
    ws, workspace, shard, epoch, offset, seg, chain, recorded_at = row
    head = Head(ws, workspace, shard, epoch, offset, seg, chain, 0)
    last = packed.to_us(recorded_at) if recorded_at is not None else 0
    head.enter(packed.to_us(now), last)
    return head


def _proof(heads: Sequence[Head]) -> Proof | None:
    return Proof(heads[0].ws, heads[0].seg, heads[0].offset, heads[0].chain) if heads else None


async def _maybe(
    connection: Connection, name: str, parameters: Sequence[Any], *, wanted: bool
) -> AsyncCursor[Row] | None:
    return await connection.execute(_SQL[name], parameters, prepare=True) if wanted else None
