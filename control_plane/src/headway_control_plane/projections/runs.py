"""Runs as people look at them: lists, one run, counts by state. Read from the inline rows, so they are never behind the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Executable,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from headway_control_plane.application.create_run import NewRun
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.run_json import load_answers, load_fork, load_waits
from headway_control_plane.db.tables import (
    agent,
    attempt,
    deployment,
    pool,
    run,
    run_wait,
    session,
)
from headway_control_plane.domain.run.events import Waiting
from headway_control_plane.domain.run.evolve import read_labels
from headway_control_plane.domain.run.state import Fork, RunStatus
from headway_control_plane.domain.session.state import SessionStatus
from headway_control_plane.projections import tasks
from headway_control_plane.projections.keyset import BadPageCursor, Edge, Page
from headway_control_plane.projections.reading import Prepared, fetch
from headway_control_plane.projections.reasons import Circumstances, Reason, reason_of
from headway_control_plane.projections.run_filters import (
    ALL_STATES,
    RunFilter,
    Walk,
    candidates,
    residue,
)
from headway_control_plane.projections.tasks import TaskCounts

COUNT_CAP = 10_000
# How many runs are looked at for one page when the filter needs more than an index.
WINDOW = 2_000
MOST_WINDOWS = 10


@dataclass(frozen=True, slots=True)
class Named:
    """A thing that another one refers to."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class RunView:
    """A run, with what belongs to it resolved. Contents (parameters, error text) are named by digest.

    `permits` are the pool's: what of the run may have left the network at all.
    """

    id: UUID
    version: int
    name: str
    flow: str
    deployment: Named
    pool: Named
    agent: Named | None
    state: RunStatus
    reason: Reason
    fence: int
    attempts_failed: int
    retries: int
    on_lost: str
    tags: tuple[str, ...]
    priority: int
    environment: str
    entrypoint: str
    code_hash: str
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration: timedelta | None
    parameters: bytes
    error_class: str
    error_text: bytes
    result_digest: bytes
    facts: int
    tasks: TaskCounts | None
    permits: tuple[str, ...] = ()
    home: Named | None = None
    waits: tuple[Waiting, ...] = ()
    answered: frozenset[bytes] = frozenset()
    forked_from: UUID | None = None
    fork: Fork | None = None

    @property
    def is_terminal(self) -> bool:
        return self.ended_at is not None


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How many runs of each state, at most `COUNT_CAP` of each; `capped` names the states that have more."""

    counts: Mapping[RunStatus, int]
    capped: frozenset[RunStatus]


async def list_runs(
    connection: Connection,
    ws: int,
    wanted: RunFilter,
    *,
    now: datetime,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[RunView]:
    """Return a page of runs, newest first.

    A filter that no index answers looks at a bounded number of runs: a page may then hold fewer than `limit` and still have a next.
    """
    edge = Edge.decode(cursor) if cursor else None
    back = edge is not None and edge.back
    beyond = _run_id(edge.key) if edge else None
    found = await _find(connection, ws, wanted, Walk(beyond, back, limit + 1))
    ids = found.ids[:limit]
    more = len(found.ids) > limit or found.unfinished
    last = ids[-1] if len(found.ids) > limit else found.last
    if back:
        ids = ids[::-1]
    views = await load_runs(connection, ws, ids, now=now)
    onwards = Edge(str(last), back).encode() if more and last else None
    # Where we came from has something by definition; on the first page nothing lies before.
    origin = (
        Edge(str(ids[-1 if back else 0] if ids else beyond), not back).encode() if edge else None
    )
    return Page(views, next=origin if back else onwards, previous=onwards if back else origin)


async def get_run(
    connection: Connection, ws: int, run_id: UUID, *, now: datetime
) -> RunView | None:
    """Return one run."""
    found = await load_runs(connection, ws, [run_id], now=now)
    return found[0] if found else None


async def count_by_state(connection: Connection, ws: int, wanted: RunFilter) -> StateCounts:
    """Count the runs of a filter by state, up to the cap; behind a filter without index the newest `COUNT_CAP` are counted."""
    states = wanted.states or ALL_STATES
    if wanted.is_indexed and not wanted.tags:
        statement: Executable = union_all(*(_count_state(ws, wanted, state) for state in states))
    else:
        statement = _count_walked(ws, wanted)
    counts = {RunStatus(row["status"]): row["count"] for row in await fetch(connection, statement)}
    return StateCounts(
        {state: min(counts.get(state, 0), COUNT_CAP) for state in states},
        frozenset(state for state, count in counts.items() if count > COUNT_CAP),
    )


def _count_state(ws: int, wanted: RunFilter, state: RunStatus) -> Select[str, int]:
    walk = Walk(None, back=False, limit=COUNT_CAP + 1)
    walked = candidates(ws, replace(wanted, states=(state,)), walk).subquery()
    return select(
        literal(str(state), Text()).label("status"), func.count().label("count")
    ).select_from(walked)


def _count_walked(ws: int, wanted: RunFilter) -> Select[Any]:
    walked = candidates(ws, wanted, Walk(None, back=False, limit=COUNT_CAP)).subquery()
    return (
        select(run.c.status, func.count().label("count"))
        .select_from(walked.join(run, and_(run.c.ws == ws, run.c.run == walked.c.run)))
        .where(*residue(wanted))
        .group_by(run.c.status)
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """Runs in the order of the walk; the last one looked at; whether there may be more behind it."""

    ids: list[UUID]
    last: UUID | None
    unfinished: bool


async def _find(connection: Connection, ws: int, wanted: RunFilter, walk: Walk) -> _Found:
    if wanted.is_indexed:
        ids = [row["run"] for row in await fetch(connection, candidates(ws, wanted, walk))]
        return _Found(ids, ids[-1] if ids else None, unfinished=False)
    found: list[UUID] = []
    beyond = walk.beyond
    # Each way is complete from where the last one ended, so they may be taken in turns; the richer one goes on.
    untried = list(reversed(wanted.ways))
    richness: dict[bool, int] = {}
    for _ in range(MOST_WINDOWS):
        window = Walk(beyond, walk.back, WINDOW)
        by_tag = untried.pop() if untried else max(richness, key=lambda way: richness[way])
        look = _in_window(ws, wanted, window, walk.limit - len(found), by_tag=by_tag)
        [row] = await fetch(connection, look)
        found.extend(row["matching"])
        richness[by_tag] = len(row["matching"])
        beyond = row["last"] or beyond
        if len(found) >= walk.limit or row["looked_at"] < WINDOW:
            return _Found(found, beyond, unfinished=False)
    return _Found(found, beyond, unfinished=True)


def _in_window(
    ws: int, wanted: RunFilter, window: Walk, limit: int, *, by_tag: bool
) -> Select[Any]:
    """Of the next runs of an index, those that match, and how far it went."""
    walked = candidates(ws, wanted, window, by_tag=by_tag).cte("walked")
    order = walked.c.run.asc() if window.back else walked.c.run.desc()
    end = walked.c.run.desc() if window.back else walked.c.run.asc()
    matching = (
        select(walked.c.run)
        .select_from(walked.join(run, and_(run.c.ws == ws, run.c.run == walked.c.run)))
        .where(*residue(wanted, by_tag=by_tag))
        .order_by(order)
        .limit(limit)
    )
    return select(
        func.array(matching.scalar_subquery()).label("matching"),
        select(func.count()).select_from(walked).scalar_subquery().label("looked_at"),
        select(walked.c.run).order_by(end).limit(1).scalar_subquery().label("last"),
    )


async def load_runs(
    connection: Connection, ws: int, ids: Sequence[UUID], *, now: datetime
) -> list[RunView]:
    """Return these runs, in this order; those that are not there are left out."""
    if not ids:
        return []
    found = await fetch(connection, _VIEWS, ws=ws, runs=list(ids))
    rows = {row["run"]: row for row in found}
    sums = await tasks.counts(connection, ws, list(rows))
    return [_view(rows[each], sums.get(each), now) for each in ids if each in rows]


def _views() -> Select[Any]:
    home = agent.alias("home")
    ws = bindparam("ws", type_=BigInteger())
    joined = (
        run.join(
            deployment, and_(deployment.c.ws == ws, deployment.c.deployment == run.c.deployment)
        )
        .join(pool, and_(pool.c.ws == ws, pool.c.pool == run.c.pool))
        .outerjoin(
            run_wait,
            and_(run_wait.c.ws == ws, run_wait.c.run == run.c.run, run_wait.c.until.is_(None)),
        )
        .outerjoin(
            attempt,
            and_(attempt.c.ws == ws, attempt.c.run == run.c.run, attempt.c.fence == run.c.fence),
        )
        .outerjoin(agent, and_(agent.c.ws == ws, agent.c.agent == attempt.c.agent))
        .outerjoin(session, and_(session.c.ws == ws, session.c.session == attempt.c.session))
        .outerjoin(home, and_(home.c.ws == ws, home.c.agent == run.c.home))
    )
    return (
        select(
            run,
            deployment.c.name.label("deployment_name"),
            pool.c.name.label("pool_name"),
            pool.c.permits.label("pool_permits"),
            run_wait.c.reason.label("wait_reason"),
            run_wait.c.object.label("wait_object"),
            attempt.c.last_seq,
            agent.c.agent.label("agent"),
            agent.c.name.label("agent_name"),
            session.c.status.label("session_status"),
            home.c.name.label("home_name"),
        )
        .select_from(joined)
        .where(run.c.ws == ws, run.c.run == func.any(bindparam("runs", type_=ARRAY(Uuid()))))
    )


_VIEWS = Prepared(_views())


def _view(row: Mapping[str, Any], sums: TaskCounts | None, now: datetime) -> RunView:
    started, ended = row["started_at"], row["ended_at"]
    return RunView(
        id=row["run"],
        version=row["version"],
        name=row["name"],
        flow=row["flow"],
        deployment=Named(row["deployment"], row["deployment_name"]),
        pool=Named(row["pool"], row["pool_name"]),
        agent=Named(row["agent"], row["agent_name"]) if row["agent"] else None,
        state=RunStatus(row["status"]),
        reason=reason_of(_circumstances(row), now),
        fence=row["fence"],
        attempts_failed=row["attempts_failed"],
        retries=row["retries"],
        on_lost=row["on_lost"],
        tags=tuple(row["tags"]),
        priority=row["priority"],
        environment=row["environment"],
        entrypoint=row["entrypoint"],
        code_hash=row["code_hash"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        started_at=started,
        ended_at=ended,
        duration=(ended or now) - started if started else None,
        parameters=row["parameters"],
        error_class=row["error_class"],
        error_text=row["error_text"],
        result_digest=row["result_digest"],
        facts=row["last_seq"] or 0,
        tasks=sums,
        permits=tuple(row["pool_permits"]),
        home=Named(row["home"], row["home_name"] or "") if row["home"] else None,
        waits=load_waits(row["waits"]),
        answered=frozenset(call for call, _ in load_answers(row["answers"])),
        forked_from=row["forked_from"],
        fork=load_fork(row["fork"]),
    )


def view_of_new(new: NewRun) -> RunView:
    """Return a run as it was accepted."""
    event, at = new.event, new.recorded_at
    name, tags = read_labels(event.labels)
    waiting = Circumstances(
        status=RunStatus.SCHEDULED, reason="", due_at=event.due_at, pool=new.pool_name
    )
    return RunView(
        id=new.run,
        version=1,
        name=name,
        flow=event.flow,
        deployment=Named(event.deployment, new.deployment_name),
        pool=Named(event.pool, new.pool_name),
        agent=None,
        state=RunStatus.SCHEDULED,
        reason=reason_of(waiting, at),
        fence=0,
        attempts_failed=0,
        retries=event.retries,
        on_lost=event.on_lost,
        tags=tags,
        priority=event.priority,
        environment=event.environment,
        entrypoint=event.entrypoint,
        code_hash=event.code_hash,
        created_at=at,
        due_at=event.due_at,
        started_at=None,
        ended_at=None,
        duration=None,
        parameters=event.parameters.digest,
        error_class="",
        error_text=b"",
        result_digest=b"",
        facts=0,
        tasks=None,
    )


def _circumstances(row: Mapping[str, Any]) -> Circumstances:
    status = row["session_status"]
    return Circumstances(
        status=RunStatus(row["status"]),
        reason=row["reason"],
        due_at=row["due_at"],
        wait_reason=row["wait_reason"] or "",
        wait_object=row["wait_object"] or "",
        pool=row["pool_name"],
        agent=row["agent_name"] or "",
        session=SessionStatus(status) if status else None,
        error_class=row["error_class"],
        home=row["home_name"] or "",
        waits=load_waits(row["waits"]),
    )


def _run_id(key: str) -> UUID:
    try:
        return UUID(key)
    except ValueError:
        raise BadPageCursor from None
