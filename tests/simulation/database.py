"""The database: one serial object. A statement happens at one instant, its answer may be lost, and a COMMIT's outcome may stay unknown.

Decisions are made by the production code of a flush (`log.draft`); rows are the domain's states themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from headway_control_plane.domain.commands import GrantRun
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.pool.state import PoolState
from headway_control_plane.domain.run.state import AttemptState, RunState
from headway_control_plane.domain.session.state import SessionState
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Decided, Stream, StreamKind
from headway_control_plane.log import packed
from headway_control_plane.log.columns import Head
from headway_control_plane.log.draft import Draft
from headway_control_plane.log.flush import Flushed, OutcomeUnknown, Proof
from headway_control_plane.log.items import CommandItem, Item
from headway_control_plane.log.rows import Loaded, Wanted
from headway_control_plane.log.rows_children import CHILDREN
from simulation.faults import Faults
from simulation.world import World


@dataclass(slots=True)
class Entry:
    """One event of the log. `event` is a decided one, or None for a fact, whose type and payload count."""

    offset: int
    stream: Stream
    version: int
    event: Any
    type: str = ""
    payload: bytes = b""


@dataclass
class ChildRow:
    """A row of `child_run`."""

    values: dict[str, Any]
    settled: bool = False
    refused: str = ""


@dataclass
class Workspace:
    """One tenant's rows. Runs, attempts, sessions and the rest are the states as last stored."""

    ws: int
    id: UUID
    shard: int
    pool: UUID
    epoch: int = 1
    offset: int = 0
    seg: int = 0
    chain: bytes = b""
    recorded_us: int = 0
    states: dict[Stream, Any] = field(default_factory=dict)
    taken: dict[UUID, set[UUID]] = field(default_factory=dict)  # pool -> runs with an open attempt
    log: list[Entry] = field(default_factory=list)
    chains: dict[int, bytes] = field(default_factory=dict)  # offset -> chain, as acknowledged
    late: set[tuple[UUID, int, int]] = field(default_factory=set)
    lines: dict[tuple[UUID, int], int] = field(default_factory=dict)
    contents: dict[bytes, bytes] = field(default_factory=dict)
    children: dict[tuple[UUID, bytes], ChildRow] = field(default_factory=dict)

    def of(self, kind: StreamKind) -> list[Any]:
        return [state for stream, state in self.states.items() if stream.kind is kind]

    def run(self, run: UUID) -> RunState | None:
        return self.states.get(Stream(StreamKind.RUN, run))

    def askers(self, child: RunState) -> list[tuple[UUID, bytes]]:
        """The calls that stand for a run; no run here is made from another, so they are its parent's."""
        return sorted(
            key
            for key, row in self.children.items()
            if row.values["run"] == child.run and key[0] == child.parent_run
        )

    def attempt(self, run: UUID, fence: int) -> AttemptState | None:
        return self.states.get(Stream(StreamKind.ATTEMPT, run, fence))

    def session(self, session: UUID) -> SessionState | None:
        return self.states.get(Stream(StreamKind.SESSION, session))

    def open_attempts(self) -> list[AttemptState]:
        """Of every run at most its newest attempt is open."""
        found = (self.attempt(r, self.run(r).fence) for runs in self.taken.values() for r in runs)
        return [attempt for attempt in found if attempt is not None]


class Written(Draft):
    """A flush's draft that also notes, for the checkers, what stands at which offset."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.entries: dict[int, list[Entry]] = {ws: [] for ws in self.heads}
        self.late_keys: list[tuple[int, UUID, int, int]] = []
        self.grants: list[tuple[int, GrantRun]] = []
        self.witnesses: dict[int, dict[int, bytes]] = {ws: {} for ws in self.heads}

    def _facts(self, head, item):
        result = super()._facts(head, item)
        self.witnesses[head.ws][head.offset] = head.chain
        return result

    def _command(self, head, item):
        committed = super()._command(head, item)
        if isinstance(item.command, GrantRun) and committed.decided:
            self.grants.append((head.ws, item.command))
        return committed

    def _append(self, head, decided: Sequence[Decided], source) -> None:
        for one in decided:
            super()._append(head, [one], source)
            version = self.states[head.ws].version(one.stream)
            self.entries[head.ws].append(Entry(head.offset, one.stream, version, one.event))

    def _append_facts(self, head, facts, source) -> None:
        stream = Stream(StreamKind.ATTEMPT, facts.run, facts.fence)
        for n in range(len(facts)):
            offset, seq = head.offset + 1 + n, facts.first_seq + n
            kind, payload = facts.types[n][4:].decode(), facts.payloads[n][4:]
            self.entries[head.ws].append(Entry(offset, stream, seq, None, kind, payload))
        super()._append_facts(head, facts, source)

    def _keep_late(self, ws, facts, known) -> None:
        super()._keep_late(ws, facts, known)
        self.late_keys += [
            (ws, facts.run, facts.fence, facts.first_seq + n) for n in range(known, len(facts))
        ]


class Database:
    """Shared by all replicas. `checks` hears of every commit, at its instant."""

    def __init__(self, world: World, faults: Faults, policy: Policy, checks: Any) -> None:
        self.world = world
        self.faults = faults
        self.policy = policy
        self.checks = checks
        self.workspaces: dict[int, Workspace] = {}
        self.shards: dict[int, list[Any]] = {}  # id -> [owner, epoch]
        self.replicas: dict[UUID, datetime] = {}
        self.away_until = 0.0
        # What a replica sends meanwhile is not lost: it arrives when the way is free again, and is carried out then.
        self.stalled_until: dict[asyncio.AbstractEventLoop, float] = {}
        self._committed: set[tuple[int, int, bytes]] = set()

    def now(self) -> datetime:
        return self.world.instant()

    @property
    def away(self) -> bool:
        return self.world.now < self.away_until

    # Round trips ------------------------------------------------------------------------------------------

    def call(self, act: Callable[[], Any], *, commits: bool = False) -> asyncio.Future[Any]:
        """Have something done over there; the answer comes later, or an error comes and nobody knows whether it was done.

        `commits`: a flush, which says itself that the answer to its COMMIT is lost.
        """
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        stalled = self.stalled_until.get(loop, 0.0) - self.world.now
        if stalled > 0:
            self.world.happens("replica cut off from the database")
        trip = self._trip()
        if trip > 2.0 and self.world.chance(0.5):
            # Seldom is one packet late alone: the way is gone, for renewals as well.
            self.stalled_until[loop] = self.world.now + trip
        self.world.after(max(stalled, 0.0) + trip, self._perform, loop, answer, act, commits)
        return answer

    def _trip(self) -> float:
        world, random = self.world, self.world.random
        if world.chance(self.faults.slow * 0.05):
            world.happens("statement late")
            return random.uniform(2.0, 40.0)
        slow = world.chance(self.faults.slow * 0.2)
        return random.uniform(0.05, 2.0) if slow else random.uniform(0.0003, 0.004)

    def _perform(self, loop, answer, act, commits) -> None:
        world = self.world
        error: Exception | None = None
        result = None
        if self.away or world.chance(self.faults.statement):
            world.happens("statement failed")
            error = psycopg.OperationalError("the connection is lost")
        else:
            try:
                result = act()
            except Exception as problem:  # noqa: BLE001 - the caller's, as a driver would raise it
                error = problem
            if error is None and world.chance(self.faults.statement) and not commits:
                world.happens("answer lost")
                error = psycopg.OperationalError("the connection is lost behind the statement")
        world.after(self._trip(), _settle, loop, answer, result, error)

    # The flush --------------------------------------------------------------------------------------------

    def flush(self, items: Sequence[Item], ids: Any) -> Flushed:
        """One transaction, at one instant."""
        heads, draft = self._draft(items, ids)
        flushed = Flushed(draft.settlements, draft.notices(), draft.columns.count)
        if not draft.writes:
            return flushed
        world = self.world
        if world.chance(self.faults.commit_abort):
            world.happens("commit aborted")
            raise psycopg.OperationalError("the connection is lost before COMMIT")
        if not world.chance(self.faults.commit_unknown):
            self._commit(draft)
            return flushed
        kept = world.chance(0.5)
        world.happens(f"commit unknown, {'kept' if kept else 'lost'}")
        if kept:
            self._commit(draft)
        moved = [head for head in heads.values() if head.moved]
        proof = Proof(moved[0].ws, moved[0].seg, moved[0].offset, moved[0].chain) if moved else None
        raise OutcomeUnknown(flushed, proof)

    def was_committed(self, proof: Proof) -> bool:
        return (proof.ws, proof.offset, proof.chain) in self._committed

    def _draft(self, items: Sequence[Item], ids: Any) -> tuple[dict[int, Head], Written]:
        now, wanted = self.now(), Wanted()
        for item in items:
            item.want(wanted)
        grants = any(isinstance(i, CommandItem) and isinstance(i.command, GrantRun) for i in items)
        heads: dict[int, Head] = {}
        states: dict[int, States] = {}
        for ws in sorted({item.ws for item in items} & self.workspaces.keys()):
            row = self.workspaces[ws]
            heads[ws] = Head(ws, row.id, row.shard, row.epoch, row.offset, row.seg, row.chain, 0)
            heads[ws].enter(packed.to_us(now), row.recorded_us)
            states[ws] = States(self.shards[row.shard][1] if grants else 0)
        loaded = Loaded(states)
        self._load(wanted, loaded)
        draft = Written(heads, loaded, {}, now=now, policy=self.policy, ids=ids)
        for item in items:
            draft.add(item)
        return heads, draft

    def _load(self, wanted: Wanted, loaded: Loaded) -> None:
        """Exactly the rows that the production loader would read."""
        for kind, keys in wanted.by_kind.items():
            for ws, key in keys:
                self._put(loaded, ws, Stream(kind, key))
        for ws, run, fence in wanted.attempts:
            self._put_attempt(loaded, ws, run, fence)
        self._load_families(wanted, loaded)

    def _load_families(self, wanted: Wanted, loaded: Loaded) -> None:
        for ws, run in sorted(wanted.ending):
            child = self.workspaces[ws].run(run)
            if child is not None and child.parent_run is not None:
                for parent, call in self.workspaces[ws].askers(child):
                    self._put_run(loaded, ws, parent)
                    loaded.states[ws].put_asker(run, parent, call)
        for ws, parent, call, named in sorted(wanted.asked):
            made = self.workspaces[ws].children.get((parent, call))
            child = self.workspaces[ws].run(made.values["run"] if made is not None else named)
            if child is not None and child.parent_run == parent:
                self._put_run(loaded, ws, child.run)
                loaded.states[ws].put_asker(child.run, parent, call)

    def _put_run(self, loaded: Loaded, ws: int, run: UUID) -> None:
        """Without its attempt, as the production loader reads it for others."""
        state = self.workspaces[ws].run(run)
        if state is not None:
            loaded.states[ws].put(Stream(StreamKind.RUN, run), state)

    def _put(self, loaded: Loaded, ws: int, stream: Stream) -> None:
        row = self.workspaces[ws]
        state = row.states.get(stream)
        if state is None:
            return
        if isinstance(state, RunState):
            self._put_attempt(loaded, ws, state.run, state.fence)
        pool = getattr(state, "pool", None) or getattr(getattr(state, "spec", None), "pool", None)
        if isinstance(state, PoolState):
            state = _counted(row, state)
        elif pool is not None and not isinstance(state, RunState):
            self._put(loaded, ws, Stream(StreamKind.POOL, pool))
        loaded.states[ws].put(stream, state)

    def _put_attempt(self, loaded: Loaded, ws: int, run: UUID, fence: int) -> None:
        attempt = self.workspaces[ws].attempt(run, fence)
        if attempt is not None:
            loaded.states[ws].put(Stream(StreamKind.ATTEMPT, run, fence), attempt)
            loaded.fences[ws, run] = self.workspaces[ws].run(run).fence

    def _commit(self, draft: Written) -> None:
        for ws, head in draft.heads.items():
            row = self.workspaces[ws]
            self.checks.before_commit(row, draft, self.shards[row.shard][1])
            for stream, state in draft.states[ws].dirty().items():
                row.states[stream] = state
                if isinstance(state, AttemptState):
                    _take_or_release(row, state)
            row.offset, row.seg, row.chain = head.offset, head.seg, head.chain
            row.recorded_us = head.recorded_us
            row.chains |= draft.witnesses[ws]
            self._keep_others(row, draft)
            row.log += draft.entries[ws]
            late = {key[1:] for key in draft.late_keys if key[0] == ws} - row.late
            row.late |= late
            self.world.happened["late fact kept"] += len(late)
            self._committed.add((ws, head.offset, head.chain))
            self.checks.after_commit(row, draft.entries[ws])

    def _keep_others(self, row: Workspace, draft: Written) -> None:
        row.contents |= {digest: c for (ws, digest), c in draft.payloads.items() if ws == row.ws}
        for values in draft.child_rows:
            wanted = dict(zip(CHILDREN.columns, values, strict=True))
            if wanted["ws"] == row.ws:
                key = wanted["parent"], wanted["call"]
                child = row.children.setdefault(key, ChildRow(wanted))
                child.settled = child.settled and not child.refused  # told again


def _counted(row: Workspace, pool: PoolState) -> PoolState:
    return replace(pool, slots_taken=len(row.taken.get(pool.pool, ())))


def _take_or_release(row: Workspace, attempt: AttemptState) -> None:
    run = row.run(attempt.run)
    if run is None:
        return
    taken = row.taken.setdefault(run.pool, set())
    if attempt.is_open:
        taken.add(attempt.run)
    elif attempt.fence == run.fence:
        taken.discard(attempt.run)


def _settle(loop, answer, result, error) -> None:
    if not loop.alive or answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
