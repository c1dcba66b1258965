"""Loads the inline rows that a flush names, and stores those that it moved: one statement a table, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncCursor

from headway_control_plane.db.pool import Connection
from headway_control_plane.domain.agent.state import AgentState
from headway_control_plane.domain.deployment.state import DeploymentState
from headway_control_plane.domain.pool.state import PoolState
from headway_control_plane.domain.run.state import AttemptState, Deadline, RunState
from headway_control_plane.domain.session.state import SessionState
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.domain.variables.state import STREAM as VARIABLES_STREAM
from headway_control_plane.domain.variables.state import VariablesState
from headway_control_plane.log.packed import pack_rows
from headway_control_plane.log.rows_answers import ANSWERS, moved_answers
from headway_control_plane.log.rows_attempts import (
    ATTEMPTS,
    LOAD_ATTEMPTS,
    SLOTS,
    attempt_row,
    read_attempt,
)
from headway_control_plane.log.rows_declared import (
    AGENTS,
    DEPLOYMENTS,
    LOAD_AGENTS,
    LOAD_DEPLOYMENTS,
    LOAD_POOLS,
    POOLS,
    agent_row,
    deployment_row,
    pool_row,
    read_agent,
    read_deployment,
    read_pool,
)
from headway_control_plane.log.rows_runs import (
    BEHIND,
    LOAD_CHILDREN,
    LOAD_PARENTS,
    LOAD_RUNS,
    RUN_TAGS,
    RUNS,
    read_run,
    run_row,
    tag_rows,
)
from headway_control_plane.log.rows_sessions import (
    LOAD_SESSIONS,
    LOCK_SESSIONS,
    SESSIONS,
    read_session,
    session_row,
)
from headway_control_plane.log.rows_timers import TIMERS, timer_key, timer_row
from headway_control_plane.log.rows_variables import (
    LOAD_VARIABLES,
    VARIABLES,
    read_variables,
    variables_row,
)

Key = tuple[int, UUID]
Row = tuple[Any, ...]


@dataclass(slots=True)
class Wanted:
    """What a flush's items name, as sets of keys (workspace, id)."""

    by_kind: dict[StreamKind, set[Key]] = field(default_factory=dict)
    attempts: set[tuple[int, UUID, int]] = field(default_factory=set)
    locked_sessions: set[Key] = field(default_factory=set)
    topics: set[tuple[int, bytes]] = field(default_factory=set)
    """Of events: the runs that wait for them are wanted too."""
    ending: set[Key] = field(default_factory=set)  # runs whose end others may wait for
    asked: set[tuple[int, UUID, bytes, UUID]] = field(default_factory=set)
    """Calls of runs that begin to wait, and the runs that they name: what was made for them is wanted too."""

    def add(self, ws: int, streams: Iterable[Stream]) -> None:
        for stream in streams:
            self.by_kind.setdefault(stream.kind, set()).add((ws, stream.id))

    def of(self, kind: StreamKind) -> list[Key]:
        return sorted(self.by_kind.get(kind, ()))


@dataclass(slots=True)
class Loaded:
    """States of each workspace, and of each attempt that facts name the newest fence of its run."""

    states: Mapping[int, States]
    fences: dict[Key, int] = field(default_factory=dict)


class Loader:
    """Sends the queries of one flush (inside a pipeline), then takes their rows (after it)."""

    def __init__(self) -> None:
        self._sent: list[tuple[AsyncCursor[Row], Callable[[Loaded, Row], None]]] = []

    async def send(self, connection: Connection, wanted: Wanted) -> None:
        """Queue one query for each kind of row that is wanted."""
        if wanted.locked_sessions:
            await connection.execute(
                _sql(LOCK_SESSIONS), pack_rows(_KEY, sorted(wanted.locked_sessions)), prepare=True
            )
        runs, sessions = wanted.of(StreamKind.RUN), wanted.of(StreamKind.SESSION)
        deployments, agents = wanted.of(StreamKind.DEPLOYMENT), wanted.of(StreamKind.AGENT)
        pools = wanted.of(StreamKind.POOL)
        await self._query(connection, LOAD_RUNS, _take_run_and_attempt, _KEY, runs)
        await self._query(connection, LOAD_PARENTS, _take_asker, _KEY, sorted(wanted.ending))
        await self._query(connection, LOAD_CHILDREN, _take_asker, _CALL_KEY, sorted(wanted.asked))
        attempts = sorted(wanted.attempts)
        await self._query(connection, LOAD_ATTEMPTS, _take_attempt, _ATTEMPT_KEY, attempts)
        await self._query(connection, LOAD_SESSIONS, _take_session, _KEY, sessions)
        await self._query(connection, LOAD_DEPLOYMENTS, _take_deployment, _KEY, deployments)
        await self._query(connection, LOAD_AGENTS, _take_agent, _KEY, agents)
        variables = wanted.of(StreamKind.VARIABLES)
        await self._query(connection, LOAD_VARIABLES, _take_variables, _KEY, variables)
        if pools or sessions or deployments or agents:
            keys = [
                array
                for some in (pools, sessions, deployments, agents)
                for array in pack_rows(_KEY, some)
            ]
            cursor = await connection.execute(_sql(LOAD_POOLS), keys, prepare=True)
            self._sent.append((cursor, _take_pool))

    async def _query(
        self,
        connection: Connection,
        query: str,
        take: Callable[[Loaded, Row], None],
        kinds: tuple[str, ...],
        keys: list[Any],
    ) -> None:
        if keys:
            cursor = await connection.execute(_sql(query), pack_rows(kinds, keys), prepare=True)
            self._sent.append((cursor, take))

    async def receive(self, states: Mapping[int, States]) -> Loaded:
        """Put every row into the states of its workspace."""
        loaded = Loaded(states)
        for cursor, take in self._sent:
            for row in await cursor.fetchall():
                take(loaded, row)
        return loaded


_KEY = ("int8", "uuid")
_CALL_KEY = ("int8", "uuid", "bytes", "uuid")
_ATTEMPT_KEY = ("int8", "uuid", "int8")


def _sql(query: str) -> LiteralString:
    # Put together from constants of the row modules alone.
    return query


def _take_run(loaded: Loaded, row: Row) -> None:
    run = read_run(row)
    loaded.states[row[0]].put(Stream(StreamKind.RUN, run.run), run)


def _take_asker(loaded: Loaded, row: Row) -> None:
    """One of two runs of which one waits for the other, and in which call."""
    _take_run(loaded, row)
    child, parent, call = row[BEHIND:]
    loaded.states[row[0]].put_asker(child, parent, call)


def _take_run_and_attempt(loaded: Loaded, row: Row) -> None:
    _take_run(loaded, row)
    newest = row[BEHIND:]
    if newest[0] is not None:
        _put_attempt(loaded, row[0], newest, newest_fence=newest[1])


def _take_attempt(loaded: Loaded, row: Row) -> None:
    _put_attempt(loaded, row[0], row[2:], newest_fence=row[1])


def _put_attempt(loaded: Loaded, ws: int, columns: Row, *, newest_fence: int) -> None:
    attempt = read_attempt(columns)
    loaded.states[ws].put(Stream(StreamKind.ATTEMPT, attempt.run, attempt.fence), attempt)
    loaded.fences[ws, attempt.run] = newest_fence


def _take_session(loaded: Loaded, row: Row) -> None:
    session = read_session(row)
    loaded.states[row[0]].put(Stream(StreamKind.SESSION, session.session), session)


def _take_deployment(loaded: Loaded, row: Row) -> None:
    deployment = read_deployment(row)
    loaded.states[row[0]].put(Stream(StreamKind.DEPLOYMENT, deployment.deployment), deployment)


def _take_agent(loaded: Loaded, row: Row) -> None:
    agent = read_agent(row)
    loaded.states[row[0]].put(Stream(StreamKind.AGENT, agent.agent), agent)


def _take_pool(loaded: Loaded, row: Row) -> None:
    pool = read_pool(row)
    loaded.states[row[0]].put(Stream(StreamKind.POOL, pool.pool), pool)


def _take_variables(loaded: Loaded, row: Row) -> None:
    loaded.states[row[0]].put(VARIABLES_STREAM, read_variables(row))


@dataclass(slots=True)
class Moved:
    """Rows to be written, by table."""

    pools: list[Row] = field(default_factory=list)
    deployments: list[Row] = field(default_factory=list)
    agents: list[Row] = field(default_factory=list)
    variables: list[Row] = field(default_factory=list)
    sessions: list[Row] = field(default_factory=list)
    runs: list[Row] = field(default_factory=list)
    tags: list[Row] = field(default_factory=list)
    answers: list[Row] = field(default_factory=list)
    answers_cleared: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    slots_released: list[Row] = field(default_factory=list)
    slots_taken: list[Row] = field(default_factory=list)
    timers: list[Row] = field(default_factory=list)
    timers_cleared: list[Row] = field(default_factory=list)

    def collect(self, ws: int, shard: int, states: States) -> None:
        """Add what moved in a workspace, in the states' order: a run's older attempt closes before its newer one opens."""
        for stream, state in states.dirty().items():
            match state:
                case RunState():
                    before = states.loaded_run(state.run)
                    self.runs.append(run_row(ws, shard, state, before))
                    self.tags.extend(tag_rows(ws, state, before))
                    given, cleared = moved_answers(ws, state, before)
                    self.answers.extend(given)
                    self.answers_cleared.extend(cleared)
                    self._deadline(ws, shard, stream, state.deadline, states)
                case AttemptState():
                    self.attempts.append(attempt_row(ws, state))
                    self._slot(ws, state, states)
                case SessionState():
                    self.sessions.append(session_row(ws, shard, state))
                    self._deadline(ws, shard, stream, state.deadline, states)
                case PoolState():
                    self.pools.append(pool_row(ws, state))
                case DeploymentState():
                    self.deployments.append(deployment_row(ws, state))
                case AgentState():
                    self.agents.append(agent_row(ws, state))
                case VariablesState():
                    self.variables.append(variables_row(ws, state))

    def _deadline(
        self, ws: int, shard: int, stream: Stream, deadline: Deadline | None, states: States
    ) -> None:
        if deadline == states.loaded_deadline(stream):
            return  # its timer says so already
        if deadline is None:
            self.timers_cleared.append(timer_key(ws, stream))
        else:
            self.timers.append(timer_row(ws, stream, shard, deadline))

    def _slot(self, ws: int, attempt: AttemptState, states: States) -> None:
        run = states.run(attempt.run)
        if run is None:
            return  # facts alone never open or close an attempt
        if attempt.is_open:
            self.slots_taken.append((ws, run.pool, attempt.run, attempt.fence))
        elif attempt.fence == run.fence:
            self.slots_released.append((ws, run.pool, attempt.run))

    async def store(self, connection: Connection) -> None:
        """Queue the writes: releases ahead of takings."""
        await POOLS.upsert(connection, self.pools)
        await DEPLOYMENTS.upsert(connection, self.deployments)
        await AGENTS.upsert(connection, self.agents)
        await VARIABLES.upsert(connection, self.variables)
        await SESSIONS.upsert(connection, self.sessions)
        await RUNS.upsert(connection, self.runs)
        await RUN_TAGS.upsert(connection, self.tags)
        await ANSWERS.delete(connection, self.answers_cleared)
        await ANSWERS.upsert(connection, self.answers)
        await ATTEMPTS.upsert(connection, self.attempts)
        await SLOTS.delete(connection, self.slots_released)
        await SLOTS.upsert(connection, self.slots_taken)
        await TIMERS.delete(connection, self.timers_cleared)
        await TIMERS.upsert(connection, self.timers)
