"""One run as people look at it, with what belongs to it resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Select,
    Uuid,
    and_,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.sql.selectable import LateralFromClause

from headway_control_plane.application.create_run import NewRun
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.run_json import load_fork, load_waits
from headway_control_plane.db.tables import (
    agent,
    attempt,
    deployment,
    pool,
    run,
    run_wait,
    session,
    task_counts,
)
from headway_control_plane.domain.run.events import Waiting
from headway_control_plane.domain.run.evolve import read_labels
from headway_control_plane.domain.run.state import Fork, RunStatus
from headway_control_plane.domain.session.state import SessionStatus
from headway_control_plane.projections.answered import answered
from headway_control_plane.projections.reading import Prepared, active_version, fetch
from headway_control_plane.projections.reasons import Circumstances, Reason, reason_of
from headway_control_plane.projections.task_fold import STATUSES
from headway_control_plane.projections.tasks import TaskCounts


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
    parent_run: UUID | None = None
    parent_call: bytes = b""
    flow_version: str = ""  # of the deployment that it was made with

    @property
    def is_terminal(self) -> bool:
        return self.ended_at is not None

    @property
    def waits_for_others(self) -> bool:
        """Whether `waits` are what it waits for now: without a process, or with one that asks a person."""
        return self.state is RunStatus.PAUSED or self.reason.code == "input"


async def load_runs(
    connection: Connection, ws: int, ids: Sequence[UUID], *, now: datetime
) -> list[RunView]:
    """Return these runs, in this order; those that are not there are left out."""
    if not ids:
        return []
    found = await fetch(connection, _VIEWS, ws=ws, runs=list(ids))
    rows = {row["run"]: row for row in found}
    return [_view(rows[each], _sums(rows[each]), now) for each in ids if each in rows]


def _sums(row: Mapping[str, Any]) -> TaskCounts | None:
    """The sums of the newest attempt that has called anything."""
    if row["called_by"] is None:
        return None
    return TaskCounts(row["called_by"], **{status: row[f"calls_{status}"] for status in STATUSES})


def _newest_sums(ws: BindParameter[int]) -> LateralFromClause:
    return (
        select(
            task_counts.c.fence.label("called_by"),
            *(task_counts.c[status].label(f"calls_{status}") for status in STATUSES),
        )
        .where(
            task_counts.c.ws == ws,
            task_counts.c.version == active_version(),
            task_counts.c.run == run.c.run,
        )
        .order_by(task_counts.c.fence.desc())
        .limit(1)
        .lateral("sums")
    )


def _views() -> Select[Any]:
    home = agent.alias("home")
    ws = bindparam("ws", type_=BigInteger())
    sums = _newest_sums(ws)
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
        .outerjoin(sums, true())
    )
    return (
        select(
            run,
            answered(),
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
            *sums.c,
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
        answered=frozenset(map(bytes, row["answered"])),
        forked_from=row["forked_from"],
        fork=load_fork(row["fork"]),
        parent_run=row["parent_run"],
        parent_call=row["parent_call"],
        flow_version=row["flow_version"],
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
        flow_version=event.flow_version,
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
        answered=frozenset(map(bytes, row["answered"])),
    )
