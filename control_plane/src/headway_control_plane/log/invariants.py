"""What must hold of a workspace at every moment, checked from the outside: the log, the inline rows, and each against the other.

Numbers are those of the project's list of invariants. A check reads one snapshot and changes nothing; it returns what
is wrong, and an empty list is the proof.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import IsolationLevel

from headway_control_plane.application.ports import LogReader, Witness
from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.errors import IllegalTransition
from headway_control_plane.domain.policy import DEFAULT_POLICY, Policy
from headway_control_plane.domain.run.events import RunGranted
from headway_control_plane.domain.run.state import RunState
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Decided, Stream, StreamKind
from headway_control_plane.log.upcast import decode_any
from headway_control_plane.log.verify import verify

_PAGE = 2_000
_SQL = load_queries("headway_control_plane.log", "invariants.sql")
_RUN_FIELDS = (
    "run", "version", "status", "reason", "fence", "attempts_failed", "deaths", "session",
    "started_at", "ended_at", "error_class", "error_text", "result_digest",
)  # fmt: skip
_ATTEMPT_FIELDS = (
    "run", "fence", "status", "session", "agent", "granted_at", "started_at", "ended_at", "outcome", "cancel",
)  # fmt: skip
_REPLAYED = frozenset({StreamKind.RUN, StreamKind.SESSION})


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not be."""

    invariant: int
    name: str
    detail: str

    def __str__(self) -> str:
        return f"invariant {self.invariant} ({self.name}): {self.detail}"


Fact = tuple[UUID, int, int]  # run, fence, seq
_Rows = dict[Any, Sequence[Any] | None]


async def check(
    database: Database,
    reader: LogReader,
    ws: int,
    workspace: UUID,
    *,
    acknowledged: Iterable[Fact] = (),
    witness: Witness | None = None,
    policy: Policy = DEFAULT_POLICY,
) -> list[Violation]:
    """Check a workspace. `acknowledged` and `witness` are what somebody outside remembers; the auditor's role is needed."""
    async with _snapshot(database, ws) as connection:
        violations = [
            *await gapless(connection, ws),
            *await durable(connection, ws, acknowledged),
            *await unique(connection, ws),
            *await ordered(connection, ws),
            *await legal_and_fenced(connection, ws, policy),
            *await tagged(connection, ws),
            *await slots_match(connection, ws),
        ]
    return [*violations, *await chained(reader, ws, workspace, witness)]


async def gapless(connection: Connection, ws: int) -> list[Violation]:
    """1: count = newest offset = head, oldest = 1."""
    rows = await _all(connection, "gapless", ws)
    return [
        Violation(
            1, "gapless", f"head {head}, {count} events from {oldest} to {newest} in workspace {ws}"
        )
        for head, count, oldest, newest in rows
        if not head == count == (newest or 0) or (count and oldest != 1)
    ]


async def durable(connection: Connection, ws: int, acknowledged: Iterable[Fact]) -> list[Violation]:
    """2: every acknowledged fact is in the log, and the guards count just those that are."""
    known = list(acknowledged)
    keys = {
        "runs": [run for run, _, _ in known],
        "fences": [fence for _, fence, _ in known],
        "seqs": [seq for _, _, seq in known],
    }
    lost = await _all(connection, "acknowledged", ws, keys) if known else []
    wrong = await _all(connection, "guards", ws)
    return [
        Violation(2, "durable", f"acknowledged fact {run}/{fence}/{seq} is not in the log")
        for run, fence, seq in lost
    ] + [
        Violation(2, "durable", f"attempt {run}/{fence}: guard at {guard}, newest fact {newest}")
        for run, fence, guard, newest in wrong
    ]


async def unique(connection: Connection, ws: int) -> list[Violation]:
    """3: no place of a stream is taken twice."""
    return [
        Violation(3, "unique", f"{_stream(kind, id_, fence)} has version {version} {count} times")
        for kind, id_, fence, version, count in await _all(connection, "unique", ws)
    ]


async def ordered(connection: Connection, ws: int) -> list[Violation]:
    """4: along the offsets each stream counts from 1 without a gap."""
    return [
        Violation(
            4,
            "stream order",
            f"offset {at}: {_stream(kind, id_, fence)} has {version}, not {place}",
        )
        for at, kind, id_, fence, version, place in await _all(connection, "stream_order", ws)
    ]


async def legal_and_fenced(
    connection: Connection, ws: int, policy: Policy = DEFAULT_POLICY
) -> list[Violation]:
    """5 and 6: each run's events are a path of the transition table and lead to its row; fences never fall."""
    replay = _Replay(policy)
    after = 0
    while page := await _all(connection, "page", ws, {"after": after, "limit": _PAGE}):
        for row in page:
            replay.take(row)
        after = page[-1][0]
    runs = await _all(connection, "run_rows", ws)
    attempts = await _all(connection, "attempt_rows", ws)
    return [*replay.violations, *replay.compare(runs, attempts)]


async def tagged(connection: Connection, ws: int) -> list[Violation]:
    """5, of the rows beside a run's: each run is listed under the tags that it has."""
    return [
        Violation(5, "legal", f"run {run} has the tags {has} and is listed under {listed}")
        for run, has, listed in await _all(connection, "tags", ws)
    ]


async def slots_match(connection: Connection, ws: int) -> list[Violation]:
    """8: a slot for each open attempt and for nothing else."""
    return [
        Violation(
            8,
            "slots",
            f"attempt {run}/{fence} is {'open without a slot' if is_open else 'not open and has a slot'}",
        )
        for run, fence, is_open, _ in await _all(connection, "slots", ws)
    ]


async def chained(
    reader: LogReader, ws: int, workspace: UUID, witness: Witness | None = None
) -> list[Violation]:
    """10: the recomputed chain is the stored one, and the one that a witness remembers."""
    fault = (await verify(reader, ws, workspace, witness=witness)).fault
    return [] if fault is None else [Violation(10, "chain", f"offset {fault.offset}: {fault.what}")]


@dataclass(slots=True)
class _Replay:
    """Folds the control plane's own events and watches the fences of facts."""

    policy: Policy
    violations: list[Violation] = field(default_factory=list)
    _states: States = field(default_factory=States)
    _runs: set[UUID] = field(default_factory=set)
    _attempts: set[tuple[UUID, int]] = field(default_factory=set)
    _broken: set[UUID] = field(default_factory=set)

    def take(self, row: Sequence[Any]) -> None:
        offset, kind, id_, fence, type_, schema_version, recorded_at, payload = row
        if kind == StreamKind.ATTEMPT:
            self._fact(offset, id_, fence)
        elif kind in _REPLAYED and id_ not in self._broken:
            event = decode_any(type_, schema_version, payload)
            self._event(offset, Decided(Stream(StreamKind(kind), id_), event), recorded_at)

    def _fact(self, offset: int, run: UUID, fence: int) -> None:
        state = self._states.run(run)
        newest = 0 if state is None else state.fence
        attempt = self._states.attempt(run, fence)
        if fence != newest or attempt is None:
            what = f"offset {offset}: a fact of {run}/{fence} after fence {newest}"
            self.violations.append(Violation(6, "fence", what))

    def _event(self, offset: int, decided: Decided, recorded_at: Any) -> None:
        before = self._states.run(decided.stream.id)
        self._check_fence(offset, decided, before)
        try:
            self._states.evolve(decided, recorded_at, self.policy)
        except IllegalTransition as error:
            self._broken.add(decided.stream.id)
            what = f"offset {offset}, {decided.stream}: {error}"
            self.violations.append(Violation(5, "legal", what))
            return
        if decided.stream.kind is StreamKind.RUN:
            self._runs.add(decided.stream.id)
        if isinstance(decided.event, RunGranted):
            self._attempts.add((decided.stream.id, decided.event.fence))

    def _check_fence(self, offset: int, decided: Decided, before: RunState | None) -> None:
        fence = getattr(decided.event, "fence", None)
        if fence is None or before is None:
            return
        expected = before.fence + isinstance(decided.event, RunGranted)
        if fence != expected:
            what = f"offset {offset}, {decided.stream}: fence {fence}, not {expected}"
            self.violations.append(Violation(6, "fence", what))

    def compare(
        self, runs: Sequence[Sequence[Any]], attempts: Sequence[Sequence[Any]]
    ) -> list[Violation]:
        """Hold the rows against the folded states."""
        stored: _Rows = {row[0]: tuple(row) for row in runs}
        folded: _Rows = {run: _values(self._states.run(run), _RUN_FIELDS) for run in self._runs}
        tried: _Rows = {(row[0], row[1]): tuple(row) for row in attempts}
        replayed: _Rows = {
            key: _values(self._states.attempt(*key), _ATTEMPT_FIELDS) for key in self._attempts
        }
        return [
            Violation(5, "legal", f"row {key} holds {ours}, its events lead to {theirs}")
            for rows, states in ((stored, folded), (tried, replayed))
            for key in sorted(rows.keys() | states.keys(), key=str)
            if not self._is_broken(key)
            for ours, theirs in _differences(rows.get(key), states.get(key))
        ]

    def _is_broken(self, key: Any) -> bool:
        return (key[0] if isinstance(key, tuple) else key) in self._broken


def _differences(row: Sequence[Any] | None, state: Sequence[Any] | None) -> list[tuple[Any, Any]]:
    if row is None or state is None:
        return [(row, state)]
    return [(ours, theirs) for ours, theirs in zip(row, state, strict=True) if ours != theirs]


def _values(state: Any, names: Sequence[str]) -> tuple[Any, ...] | None:
    return None if state is None else tuple(getattr(state, name) for name in names)


def _stream(kind: int, id_: UUID, fence: int) -> Stream:
    return Stream(StreamKind(kind), id_, fence)


@asynccontextmanager
async def _snapshot(database: Database, ws: int) -> AsyncIterator[Connection]:
    """One snapshot over all statements, as the auditor."""
    async with database.pool(Role.AUDITOR).connection() as connection:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        try:
            async with connection.transaction():
                settings = database.local_settings(Role.AUDITOR) | {"app.ws": str(ws)}
                await connection.execute(
                    "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
                    [list(settings), list(settings.values())],
                )
                yield connection
        finally:
            await connection.set_isolation_level(None)


async def _all(
    connection: Connection, name: str, ws: int, more: dict[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    return await (await connection.execute(_SQL[name], {"ws": ws} | (more or {}))).fetchall()
