"""How many runs of each state were created in each stretch of time, at a cost that does not grow with the number of runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Executable,
    Text,
    Uuid,
    and_,
    cast,
    func,
    literal,
    select,
    union_all,
)

from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import run, subflow
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections import subflow_filters
from headway_control_plane.projections.reading import fetch
from headway_control_plane.projections.run_filters import (
    ALL_STATES,
    RunFilter,
    Walk,
    candidates,
    id_at,
    residue,
)
from headway_control_plane.projections.runs import COUNT_CAP, StateCounts
from headway_control_plane.projections.subflows import STATE_OF

Bucket = dict[RunStatus, int]


def first_counted(counts: StateCounts, states: Collection[RunStatus]) -> datetime | None:
    """Return from when on the counts hold every run of these states: where a state has more than were counted, not from its
    first one; None where there is no run.
    """
    oldest = {state: at for state, at in counts.oldest.items() if not states or state in states}
    capped = [at for state, at in oldest.items() if state in counts.capped]
    if capped:
        return made_at(max(capped))
    return made_at(min(oldest.values())) if oldest else None


def made_at(place: UUID) -> datetime:
    """Return when an id was made, which is what it begins with."""
    return datetime.fromtimestamp((place.int >> 80) / 1000, UTC)


async def count_starts(
    connection: Connection,
    ws: int,
    wanted: RunFilter,
    edges: Sequence[datetime],
    *,
    subflows: bool = False,
) -> list[Bucket]:
    """Count the runs between each edge and the next one by state, with `subflows` those too.

    Counts as the counts by state do, to their cap: begin where `first_counted` says, and nothing is left out.
    """
    buckets: list[Bucket] = [{} for _ in edges[1:]]
    for row in await fetch(connection, starts(ws, wanted, edges, subflows=subflows)):
        state = STATE_OF.get(row["status"]) or RunStatus(row["status"])
        bucket = buckets[row["bucket"] - 1]
        bucket[state] = bucket.get(state, 0) + row["count"]
    return buckets


def starts(
    ws: int, wanted: RunFilter, edges: Sequence[datetime], *, subflows: bool = False
) -> Executable:
    """The statement: walks of the indexes between the first and the last edge, each to the cap."""
    within = replace(
        wanted,
        since=max(wanted.since or edges[0], edges[0]),
        until=min(wanted.until or edges[-1], edges[-1]),
    )
    parts = _of_runs(ws, within, edges)
    if subflows and wanted.parent is None:
        parts += _of_subflows(ws, within, edges)
    return union_all(*parts)


def _of_runs(ws: int, wanted: RunFilter, edges: Sequence[datetime]) -> list[Any]:
    if not wanted.is_indexed or wanted.tags or wanted.parent:
        walked = candidates(ws, wanted, Walk(None, back=False, limit=COUNT_CAP)).subquery()
        return [
            _grouped(run.c.status, run.c.run, edges)
            .select_from(walked.join(run, and_(run.c.ws == ws, run.c.run == walked.c.run)))
            .where(*residue(wanted))
            .group_by(run.c.status, "bucket")
        ]
    walk = Walk(None, back=False, limit=COUNT_CAP + 1)
    parts = []
    for state in wanted.states or ALL_STATES:
        walked = candidates(ws, replace(wanted, states=(state,)), walk).subquery()
        status = literal(str(state), Text())
        parts.append(_grouped(status, walked.c.run, edges).select_from(walked).group_by("bucket"))
    return parts


def _of_subflows(ws: int, wanted: RunFilter, edges: Sequence[datetime]) -> list[Any]:
    if not subflow_filters.is_indexed(wanted):
        walk = Walk(None, back=False, limit=COUNT_CAP)
        walked = subflow_filters.candidates(ws, wanted, walk).subquery("walked")
        return [
            _grouped(subflow.c.status, subflow.c.place, edges)
            .select_from(subflow_filters.with_runs(ws, walked))
            .where(*subflow_filters.residue(wanted))
            .group_by(subflow.c.status, "bucket")
        ]
    walk = Walk(None, back=False, limit=COUNT_CAP + 1)
    parts = []
    for state in wanted.states or ALL_STATES:
        for of_state in subflow_filters.STATUSES[state]:
            walked = subflow_filters.one_status(ws, wanted, of_state, walk).subquery()
            status = literal(of_state, Text())
            parts.append(
                _grouped(status, walked.c.place, edges).select_from(walked).group_by("bucket")
            )
    return parts


def _grouped(
    status: ColumnElement[str], key: ColumnElement[UUID], edges: Sequence[datetime]
) -> Any:
    # Ids begin with their millisecond, so edges in time are edges among them.
    places = cast([id_at(edge) for edge in edges], ARRAY(Uuid()))
    bucket = func.width_bucket(key, places).label("bucket")
    return select(status.label("status"), bucket, func.count().label("count"))
