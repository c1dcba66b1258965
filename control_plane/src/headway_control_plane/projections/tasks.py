"""Queries of the read model `task_timeline`: pages of calls, sums, and the binned picture of runs with very many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from headway_control_plane.application.json_values import read_foreign
from headway_control_plane.db.pool import Connection, Row
from headway_control_plane.db.queries import load_queries
from headway_control_plane.projections import packed_calls
from headway_control_plane.projections.packed_calls import Member
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
    paused: int = 0

    @property
    def total(self) -> int:
        ended = self.done + self.failed + self.cancelled + self.interrupted
        return self.open + self.paused + ended

    @property
    def open(self) -> int:
        return self.running + self.retrying

    @property
    def done(self) -> int:
        """Calls whose result is there: made now, or kept from an earlier attempt."""
        return self.completed + self.skipped


@dataclass(frozen=True, slots=True)
class Task:
    """One call, or a range of calls that completed: `calls` many, under the key of the first one; of one call, what they
    took is None. An empty name is one that the pool withholds; `run_name` is the call's own.
    """

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
    calls: int = 1
    median: timedelta | None = None
    longest: timedelta | None = None
    run_name: str = ""

    @property
    def title(self) -> str:
        """What it is called: by its own name where it has one."""
        return self.run_name or self.name

    @property
    def is_range(self) -> bool:
        return self.calls > 1

    @property
    def skipped_for(self) -> str:
        """Why a skipped call was: `cached`, `target`, or empty for what an earlier attempt completed."""
        return str((self.result or {}).get("from", ""))


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a run's time."""

    start: datetime
    end: datetime

    def holds(self, task: Task) -> bool:
        """Whether a call was executing in it."""
        return task.started_at <= self.end and (
            task.ended_at is None or task.ended_at >= self.start
        )


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
    paused: int
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
    return page_of(await found.fetchall(), limit)


async def in_span(
    connection: Connection, ws: int, run: UUID, fence: int, span: Span, *, limit: int
) -> TaskPage:
    """Return the calls of one attempt that were executing in a span of time."""
    found = await connection.execute(
        SQL["in_span"], {"ws": ws, "run": run, "fence": fence, "limit": limit + 1, **_edges(span)}
    )
    return page_of(await found.fetchall(), limit)


def _edges(span: Span | None) -> dict[str, datetime | None]:
    return {"since": span.start if span else None, "until": span.end if span else None}


def page_of(rows: Sequence[Row], limit: int) -> TaskPage:
    """Return the page that begins so; `rows` are one more than it holds, if there are more."""
    items = tuple(map(task_of, rows))
    more = len(items) > limit
    return TaskPage(items[:limit], items[limit - 1].first_offset if more else None)


async def members(
    connection: Connection, ws: int, run: UUID, fence: int, ranges: Sequence[bytes]
) -> dict[bytes, list[Member]]:
    """Return the calls of these ranges, in the order in which they ended; what is no range is absent."""
    if not ranges:
        return {}
    found = await connection.execute(
        SQL["packed"], {"ws": ws, "run": run, "fence": fence, "calls": list(ranges)}
    )
    return {
        bytes(call): list(packed_calls.unpack(packed, began))
        for call, packed, began in await found.fetchall()
    }


async def whole(
    connection: Connection, ws: int, run: UUID, fence: int, found: Sequence[Task]
) -> list[Task]:
    """Return these with each call of the ranges among them as one of its own."""
    ranges = [task.call for task in found if task.is_range]
    return expand(found, await members(connection, ws, run, fence, ranges))


def expand(tasks: Iterable[Task], members: Mapping[bytes, Sequence[Member]]) -> list[Task]:
    """Return the tasks with each call of these ranges as one of its own. What they returned is known in sum alone."""
    expanded: list[Task] = []
    for task in tasks:
        if task.call not in members:
            expanded.append(task)
            continue
        expanded += [
            replace(
                task, call=each.call, started_at=each.started_at, ended_at=each.ended_at,
                calls=1, median=None, longest=None, result=None,
            )
            for each in members[task.call]
        ]  # fmt: skip
    return expanded


async def groups(
    connection: Connection,
    ws: int,
    run: UUID,
    fence: int,
    *,
    now: datetime,
    limit: int = MAX_LANES,
    parent: bytes | None = None,
    span: Span | None = None,
) -> TaskGroups:
    """Return an attempt's calls, or those directly in one call, grouped by parent and name; open ones last until `now`.

    With a span, those that were executing in it.
    """
    found = await connection.execute(
        SQL["groups"],
        {
            "ws": ws,
            "run": run,
            "fence": fence,
            "now": now,
            "limit": limit,
            "parent": parent,
            **_edges(span),
        },
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
    span: Span | None = None,
) -> list[list[Bin]]:
    """Return for each group what happened in each column of the window; columns without news are absent.

    What lies outside the window counts for its first or last column. With a span, only calls that were executing in it.
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
            **_edges(span),
        },
    )
    lanes: list[list[Bin]] = [[] for _ in shown]
    for lane, column, began, ended, failed in await found.fetchall():
        lanes[lane].append(Bin(column, began, ended, failed))
    return lanes


def task_of(row: Row) -> Task:
    """Read a row of the columns that every query of calls names."""
    call, parent, kind, name, status, first_offset, started_at, ended_at, tries, *rest = row
    retries, error_class, error_text, result, calls, median_us, longest_us, named = rest
    if status == "skipped":  # nothing was executed: zero would be no length
        median_us = longest_us = None
    return Task(
        call=call,
        parent=parent,
        kind=kind,
        name=name,
        status=status,
        first_offset=first_offset,
        started_at=started_at,
        ended_at=ended_at,
        tries=tries,
        retries=tuple(map(retry_from_json, retries)),
        error_class=error_class,
        error_text=error_text,
        result=result,
        calls=calls,
        median=_microseconds(median_us),
        longest=_microseconds(longest_us),
        run_name=_run_name(named),
    )


def _microseconds(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(microseconds=number)


def _run_name(content: bytes | None) -> str:
    """Agents write it: what is no text counts as none."""
    try:
        name = read_foreign(content) if content else ""
    except ValueError:
        return ""
    return name if isinstance(name, str) else ""
