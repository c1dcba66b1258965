"""Queries of the read model `task_timeline`: pages of calls, sums, and the binned picture of runs with very many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from headway_control_plane.db.pool import Connection, Row
from headway_control_plane.db.queries import load_queries
from headway_control_plane.projections.task_fold import Retry
from headway_control_plane.projections.task_timeline import retry_from_json

SQL = load_queries("headway_control_plane.projections", "tasks.sql")

MAX_COLUMNS = 800
MAX_LANES = 60


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """How an attempt's calls stand."""

    fence: int
    running: int = 0
    retrying: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0
    interrupted: int = 0

    @property
    def total(self) -> int:
        return self.open + self.done + self.failed + self.cancelled + self.interrupted

    @property
    def open(self) -> int:
        return self.running + self.retrying

    @property
    def done(self) -> int:
        """Calls whose result is there: made now, or kept from an earlier attempt."""
        return self.completed + self.skipped


@dataclass(frozen=True, slots=True)
class Task:
    """One call. An empty name is one that the pool withholds."""

    call: bytes
    parent: bytes
    kind: str
    name: str
    status: str
    first_offset: int
    started_at: datetime
    ended_at: datetime | None
    tries: int
    retries: tuple[Retry, ...]
    error_class: str
    error_text: bytes  # digest
    result: dict[str, Any] | None

    @property
    def skipped_for(self) -> str:
        """Why a skipped call was: `cached`, `target`, or empty for what an earlier attempt completed."""
        return str((self.result or {}).get("from", ""))


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Calls in the order of the log. `next` goes into `after` for the rest; None at the end."""

    items: tuple[Task, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Calls with the same parent and name."""

    parent: bytes
    kind: str
    name: str
    total: int
    open: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    interrupted: int
    retried: int
    started_at: datetime
    ended_at: datetime
    median: timedelta | None
    longest: timedelta | None


@dataclass(frozen=True, slots=True)
class TaskGroups:
    """The first groups, and how many there are in all."""

    shown: tuple[TaskGroup, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Bin:
    """What happened to a group's calls within one column of the picture."""

    column: int
    began: int
    ended: int
    failed: int


async def counts(
    connection: Connection, ws: int, runs: Sequence[UUID], *, fence: int | None = None
) -> dict[UUID, TaskCounts]:
    """Return the sums of each run's newest attempt with calls (or of one fence); runs without calls are absent."""
    if not runs:
        return {}
    found = await connection.execute(SQL["counts"], {"ws": ws, "runs": list(runs), "fence": fence})
    return {run: TaskCounts(*sums) for run, *sums in await found.fetchall()}


async def page(
    connection: Connection,
    ws: int,
    run: UUID,
    fence: int,
    *,
    after: int = 0,
    limit: int = 100,
    statuses: Sequence[str] | None = None,
    name: str | None = None,
) -> TaskPage:
    """Return calls of one attempt behind the offset `after`, of some statuses or of one name if given."""
    query = "page" if statuses is None else "page_by_status"
    if name is not None:
        query = "page_by_name"
    found = await connection.execute(
        SQL[query],
        {
            "ws": ws,
            "run": run,
            "fence": fence,
            "after": after,
            "limit": limit + 1,
            "statuses": list(statuses) if statuses is not None else None,
            "name": name,
        },
    )
    items = tuple(map(task_of, await found.fetchall()))
    more = len(items) > limit
    return TaskPage(items[:limit], items[limit - 1].first_offset if more else None)


async def groups(
    connection: Connection,
    ws: int,
    run: UUID,
    fence: int,
    *,
    now: datetime,
    limit: int = MAX_LANES,
    parent: bytes | None = None,
) -> TaskGroups:
    """Return an attempt's calls, or those directly in one call, grouped by parent and name; open ones last until `now`."""
    found = await connection.execute(
        SQL["groups"],
        {"ws": ws, "run": run, "fence": fence, "now": now, "limit": limit, "parent": parent},
    )
    rows = await found.fetchall()
    return TaskGroups(tuple(TaskGroup(*row[:-1]) for row in rows), rows[0][-1] if rows else 0)


async def bins(
    connection: Connection,
    ws: int,
    run: UUID,
    fence: int,
    shown: Sequence[TaskGroup],
    *,
    start: datetime,
    end: datetime,
    columns: int,
) -> list[list[Bin]]:
    """Return for each group what happened in each column of the window; columns without news are absent.

    What lies outside the window counts for its first or last column.
    """
    found = await connection.execute(
        SQL["bins"],
        {
            "ws": ws,
            "run": run,
            "fence": fence,
            "parents": [group.parent for group in shown],
            "kinds": [group.kind for group in shown],
            "names": [group.name for group in shown],
            "start": start,
            "seconds": max((end - start).total_seconds(), 1e-6),
            "columns": min(columns, MAX_COLUMNS),
        },
    )
    lanes: list[list[Bin]] = [[] for _ in shown]
    for lane, column, began, ended, failed in await found.fetchall():
        lanes[lane].append(Bin(column, began, ended, failed))
    return lanes


def task_of(row: Row) -> Task:
    """Read a row of the columns that every query of calls names."""
    head, retries, tail = row[:9], row[9], row[10:]
    return Task(*head, tuple(map(retry_from_json, retries)), *tail)  # type: ignore[call-arg] # 9 + 1 + 3
