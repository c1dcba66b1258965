"""Runs as people look at them: lists, one run, counts by state. Read from the inline rows, so they are never behind the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    Text,
    Uuid,
    and_,
    cast,
    collate,
    func,
    literal,
    select,
    union_all,
)

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import (
    run,
)
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections.keyset import BadPageCursor, Edge, Page
from headway_control_plane.projections.reading import fetch
from headway_control_plane.projections.run_filters import (
    ALL_STATES,
    RunFilter,
    Walk,
    candidates,
    residue,
)
from headway_control_plane.projections.run_view import RunView, load_runs

COUNT_CAP = 10_000
# How many runs are looked at for one page when the filter needs more than an index.
WINDOW = 2_000
MOST_WINDOWS = 10


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How many runs of each state, at most `COUNT_CAP` of each; `capped` names the states that have more. `oldest`: the first
    of those that were counted.
    """

    counts: Mapping[RunStatus, int]
    capped: frozenset[RunStatus]
    oldest: Mapping[RunStatus, UUID] = field(default_factory=dict)


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
    turn = PageTurn.of(cursor, limit)
    found = await find_runs(connection, ws, wanted, turn.walk)
    ids, following, previous = turn.cut(found)
    views = await load_runs(connection, ws, ids, now=now)
    return Page(views, next=following, previous=previous)


async def get_run(
    connection: Connection, ws: int, run_id: UUID, *, now: datetime
) -> RunView | None:
    """Return one run."""
    found = await load_runs(connection, ws, [run_id], now=now)
    return found[0] if found else None


async def count_by_state(connection: Connection, ws: int, wanted: RunFilter) -> StateCounts:
    """Count the runs of a filter by state, up to the cap; behind a filter without index the newest `COUNT_CAP` are counted."""
    states = wanted.states or ALL_STATES
    if wanted.is_indexed and not (wanted.tags or wanted.parent):
        statement: Executable = union_all(*(_count_state(ws, wanted, state) for state in states))
    else:
        statement = _count_walked(ws, wanted)
    rows = await fetch(connection, statement)
    counts = {RunStatus(row["status"]): row["count"] for row in rows}
    return StateCounts(
        {state: min(counts.get(state, 0), COUNT_CAP) for state in states},
        frozenset(state for state, count in counts.items() if count > COUNT_CAP),
        {RunStatus(row["status"]): row["oldest"] for row in rows if row["count"]},
    )


def _count_state(ws: int, wanted: RunFilter, state: RunStatus) -> Select[str, int, UUID]:
    walk = Walk(None, back=False, limit=COUNT_CAP + 1)
    walked = candidates(ws, replace(wanted, states=(state,)), walk).subquery()
    return select(
        literal(str(state), Text()).label("status"),
        func.count().label("count"),
        least(walked.c.run).label("oldest"),
    ).select_from(walked)


def least(key: ColumnElement[UUID]) -> ColumnElement[UUID]:
    """The first id; PostgreSQL knows no least UUID before version 18, and their text sorts as they do."""
    return cast(func.min(collate(cast(key, Text), "C")), Uuid())


def _count_walked(ws: int, wanted: RunFilter) -> Select[Any]:
    walked = candidates(ws, wanted, Walk(None, back=False, limit=COUNT_CAP)).subquery()
    return (
        select(run.c.status, func.count().label("count"), least(run.c.run).label("oldest"))
        .select_from(walked.join(run, and_(run.c.ws == ws, run.c.run == walked.c.run)))
        .where(*residue(wanted))
        .group_by(run.c.status)
    )


@dataclass(frozen=True, slots=True)
class Found:
    """Runs in the order of the walk; the last one looked at; whether there may be more behind it."""

    ids: list[UUID]
    last: UUID | None
    unfinished: bool


@dataclass(frozen=True, slots=True)
class PageTurn:
    """A page that was asked for: where the list goes on, and how long the page may be."""

    edge: Edge | None
    beyond: UUID | None
    limit: int

    @classmethod
    def of(cls, cursor: str | None, limit: int) -> PageTurn:
        """Read a page cursor; raises BadPageCursor."""
        edge = Edge.decode(cursor) if cursor else None
        return cls(edge, _place(edge.key) if edge else None, limit)

    @property
    def back(self) -> bool:
        return self.edge is not None and self.edge.back

    @property
    def walk(self) -> Walk:
        """The walk that finds the page, and whether more follows."""
        return Walk(self.beyond, self.back, self.limit + 1)

    def cut(self, found: Found) -> tuple[list[UUID], str | None, str | None]:
        """Return what stands on the page, newest first, and the cursors of the next and the previous one."""
        ids = found.ids[: self.limit]
        more = len(found.ids) > self.limit or found.unfinished
        last = ids[-1] if len(found.ids) > self.limit else found.last
        if self.back:
            ids = ids[::-1]
        onwards = Edge(str(last), self.back).encode() if more and last else None
        # Where we came from has something by definition; on the first page nothing lies before.
        origin = None
        if self.edge is not None:
            nearest = ids[-1 if self.back else 0] if ids else self.beyond
            origin = Edge(str(nearest), not self.back).encode()
        return ids, origin if self.back else onwards, onwards if self.back else origin


async def find_runs(connection: Connection, ws: int, wanted: RunFilter, walk: Walk) -> Found:
    """Take the next runs of a filter."""
    if wanted.is_indexed:
        ids = [row["run"] for row in await fetch(connection, candidates(ws, wanted, walk))]
        return Found(ids, ids[-1] if ids else None, unfinished=False)
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
            return Found(found, beyond, unfinished=False)
    return Found(found, beyond, unfinished=True)


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


def _place(key: str) -> UUID:
    try:
        return UUID(key)
    except ValueError:
        raise BadPageCursor from None
