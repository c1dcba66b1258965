"""Sub-flows as people look at them in lists: beside the runs, in one order, each with the run that it is part of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, Uuid, and_, cast, func, literal, select, union_all

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import deployment, run, subflow
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections import subflow_filters as filters
from headway_control_plane.projections.keyset import Page
from headway_control_plane.projections.reading import fetch
from headway_control_plane.projections.run_filters import ALL_STATES, RunFilter, Walk
from headway_control_plane.projections.run_view import Named, RunView, load_runs
from headway_control_plane.projections.runs import (
    COUNT_CAP,
    MOST_WINDOWS,
    WINDOW,
    Found,
    PageTurn,
    StateCounts,
    count_by_state,
    find_runs,
    least,
)


@dataclass(frozen=True, slots=True)
class SubflowView:
    """A sub-flow: a call of a flow within a run, as the run's newest attempt has it. An empty name is one that the pool withholds."""

    place: UUID
    run: Named
    run_state: RunStatus
    flow: str  # of the run
    deployment: Named
    call: bytes
    parent: bytes
    fence: int
    name: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    error_class: str
    error_text: bytes  # digest

    def duration(self, now: datetime) -> timedelta | None:
        """How long it took, or takes; None while it waits with its run."""
        if self.ended_at is None and self.status == "paused":
            return None
        return (self.ended_at or now) - self.started_at


Listed = RunView | SubflowView
"""What stands in a list of runs with their sub-flows."""


def place_of(view: Listed) -> UUID:
    """Return where something stands in the list: a run by its id."""
    return view.place if isinstance(view, SubflowView) else view.id


async def list_runs_and_subflows(
    connection: Connection,
    ws: int,
    wanted: RunFilter,
    *,
    now: datetime,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Listed]:
    """Return a page of runs and sub-flows, the newest first. As with runs alone, a page may be short and still have a next."""
    turn = PageTurn.of(cursor, limit)
    of_runs = await find_runs(connection, ws, wanted, turn.walk)
    of_subflows = await _find(connection, ws, wanted, turn.walk)
    places, following, previous = turn.cut(merge(of_runs, of_subflows, turn.walk))
    both = await load_both(connection, ws, places, now=now)
    return Page(both, next=following, previous=previous)


def merge(one: Found, other: Found, walk: Walk) -> Found:
    """Put two walks of one order together, as far as both went."""
    ends = [each.last for each in (one, other) if each.unfinished and each.last]
    ids = sorted([*one.ids, *other.ids], reverse=not walk.back)
    if ends:
        end = min(ends) if walk.back else max(ends)
        ids = [each for each in ids if (each <= end if walk.back else each >= end)]
        return Found(ids[: walk.limit], end, unfinished=True)
    ids = ids[: walk.limit]
    return Found(ids, ids[-1] if ids else None, unfinished=False)


async def load_both(
    connection: Connection, ws: int, places: Sequence[UUID], *, now: datetime
) -> list[Listed]:
    """Return what stands at these places, in this order."""
    found: dict[UUID, Listed] = {
        view.id: view for view in await load_runs(connection, ws, places, now=now)
    }
    rest = [place for place in places if place not in found]
    found |= {view.place: view for view in await load_subflows(connection, ws, rest)}
    return [found[place] for place in places if place in found]


async def load_subflows(
    connection: Connection, ws: int, places: Sequence[UUID]
) -> list[SubflowView]:
    """Return the sub-flows at these places, in this order."""
    if not places:
        return []
    joined = filters.with_runs(
        ws, select(func.unnest(list(places)).label("place")).subquery("places")
    ).join(deployment, and_(deployment.c.ws == ws, deployment.c.deployment == run.c.deployment))
    rows = await fetch(
        connection,
        select(
            subflow,
            run.c.name.label("run_name"),
            run.c.flow.label("run_flow"),
            run.c.status.label("run_status"),
            run.c.deployment.label("of_deployment"),
            deployment.c.name.label("deployment_name"),
        ).select_from(joined),
    )
    views = {row["place"]: _view(row) for row in rows}
    return [views[place] for place in places if place in views]


async def count_both(connection: Connection, ws: int, wanted: RunFilter) -> StateCounts:
    """Count runs and sub-flows together by state, each up to the cap."""
    of_runs = await count_by_state(connection, ws, wanted)
    rows = await fetch(connection, _counted(ws, wanted))
    counts, capped, oldest = dict(of_runs.counts), set(of_runs.capped), dict(of_runs.oldest)
    for row in rows:
        state = STATE_OF[row["status"]]
        if state in counts:
            counts[state] += row["count"]
            if row["count"]:
                oldest[state] = min(oldest.get(state, row["oldest"]), row["oldest"])
            if counts[state] > COUNT_CAP:
                counts[state] = COUNT_CAP
                capped.add(state)
    return StateCounts(counts, frozenset(capped), oldest)


STATE_OF = {status: state for state, statuses in filters.STATUSES.items() for status in statuses}


def _counted(ws: int, wanted: RunFilter) -> Any:
    if not filters.is_indexed(wanted):
        walk = Walk(None, back=False, limit=COUNT_CAP)
        walked = filters.candidates(ws, wanted, walk).subquery("walked")
        return (
            select(
                subflow.c.status,
                func.count().label("count"),
                least(subflow.c.place).label("oldest"),
            )
            .select_from(filters.with_runs(ws, walked))
            .where(*filters.residue(wanted))
            .group_by(subflow.c.status)
        )
    walk = Walk(None, back=False, limit=COUNT_CAP + 1)
    each = []
    for state in wanted.states or ALL_STATES:
        for status in filters.STATUSES[state]:
            walked = filters.one_status(ws, wanted, status, walk).subquery()
            counted = select(
                literal(status, Text()).label("status"),
                func.count().label("count"),
                least(walked.c.place).label("oldest"),
            )
            each.append(counted.select_from(walked))
    if not each:
        return select(
            literal("", Text()).label("status"),
            literal(0).label("count"),
            cast(literal(None), Uuid()).label("oldest"),
        ).limit(0)
    return union_all(*each)


async def _find(connection: Connection, ws: int, wanted: RunFilter, walk: Walk) -> Found:
    if filters.is_indexed(wanted):
        rows = await fetch(connection, filters.candidates(ws, wanted, walk))
        ids = [row["place"] for row in rows]
        return Found(ids, ids[-1] if ids else None, unfinished=False)
    found: list[UUID] = []
    beyond = walk.beyond
    for _ in range(MOST_WINDOWS):
        window = Walk(beyond, walk.back, WINDOW)
        [row] = await fetch(connection, _in_window(ws, wanted, window, walk.limit - len(found)))
        found.extend(row["matching"])
        beyond = row["last"] or beyond
        if len(found) >= walk.limit or row["looked_at"] < WINDOW:
            return Found(found, beyond, unfinished=False)
    return Found(found, beyond, unfinished=True)


def _in_window(ws: int, wanted: RunFilter, window: Walk, limit: int) -> Select[Any]:
    """Of the next sub-flows of an index, those that match, and how far it went."""
    walked = filters.candidates(ws, wanted, window).cte("walked")
    key = walked.c.place
    matching = (
        select(key)
        .select_from(filters.with_runs(ws, walked))
        .where(*filters.residue(wanted))
        .order_by(key.asc() if window.back else key.desc())
        .limit(limit)
    )
    return select(
        func.array(matching.scalar_subquery()).label("matching"),
        select(func.count()).select_from(walked).scalar_subquery().label("looked_at"),
        select(key)
        .order_by(key.desc() if window.back else key.asc())
        .limit(1)
        .scalar_subquery()
        .label("last"),
    )


def _view(row: Mapping[str, Any]) -> SubflowView:
    return SubflowView(
        place=row["place"],
        run=Named(row["run"], row["run_name"]),
        run_state=RunStatus(row["run_status"]),
        flow=row["run_flow"],
        deployment=Named(row["of_deployment"], row["deployment_name"]),
        call=bytes(row["call"]),
        parent=bytes(row["parent"]),
        fence=row["fence"],
        name=row["name"],
        status=row["status"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        error_class=row["error_class"],
        error_text=bytes(row["error_text"]),
    )
