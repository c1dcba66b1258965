"""Which sub-flows a list shows beside its runs: the walks of `run_filters` over the rows of `subflow`, in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    cast,
    column,
    func,
    or_,
    select,
    true,
)

from headway_control_plane.db.tables import run, subflow
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections.reading import active_version
from headway_control_plane.projections.run_filters import (
    RunFilter,
    Walk,
    bounds,
    order,
    prefix_range,
)

STATUSES: dict[RunStatus, tuple[str, ...]] = {
    RunStatus.SCHEDULED: (),
    RunStatus.PENDING: (),
    RunStatus.RUNNING: ("running", "retrying"),
    RunStatus.PAUSED: ("paused",),
    RunStatus.CANCELLING: (),
    RunStatus.COMPLETED: ("completed", "skipped"),
    RunStatus.FAILED: ("failed",),
    RunStatus.CRASHED: ("interrupted",),
    RunStatus.CANCELLED: ("cancelled",),
}
"""The sub-flows that are meant where runs of a state are asked for."""
ALL_STATUSES = tuple(status for statuses in STATUSES.values() for status in statuses)


def is_indexed(wanted: RunFilter) -> bool:
    """Whether an index alone answers, so that nothing walked is thrown away."""
    return not (wanted.deployment or wanted.tags or wanted.text or wanted.prefix)


def candidates(ws: int, wanted: RunFilter, walk: Walk) -> Select[tuple[UUID]]:
    """The places of the next sub-flows of an index, in the order of the walk."""
    if wanted.states or wanted.flow:
        return _walk_statuses(ws, wanted, walk)
    key = subflow.c.place
    return (
        select(key)
        .where(*_of_workspace(ws), *bounds(key, replace(wanted, prefix=None), walk))
        .order_by(order(key, walk))
        .limit(walk.limit)
    )


def one_status(ws: int, wanted: RunFilter, status: str, walk: Walk) -> Select[tuple[UUID]]:
    """The next sub-flows of one status, to be counted."""
    key = subflow.c.place
    found = select(key).where(*_of_workspace(ws), subflow.c.status == status)
    if wanted.flow:
        found = found.where(subflow.c.name == wanted.flow)
    return found.where(*bounds(key, replace(wanted, prefix=None), walk)).limit(walk.limit)


def with_runs(ws: int, walked: FromClause) -> FromClause:
    """Join the sub-flows at these places, and their runs."""
    return walked.join(subflow, and_(*_of_workspace(ws), subflow.c.place == walked.c.place)).join(
        run, and_(run.c.ws == ws, run.c.run == subflow.c.run)
    )


def residue(wanted: RunFilter) -> Iterator[ColumnElement[bool]]:
    """What is left to check on a candidate and its run. Text looks in the names of both."""
    if wanted.deployment:
        yield run.c.deployment == wanted.deployment
    if wanted.tags:
        yield run.c.tags.bool_op("@>")(cast(list(wanted.tags), ARRAY(Text)))
    if wanted.prefix:
        first, last = prefix_range(wanted.prefix)
        yield run.c.run.between(first, last)
    if wanted.text:
        yield or_(
            run.c.name.icontains(wanted.text, autoescape=True),
            subflow.c.name.icontains(wanted.text, autoescape=True),
        )


def _of_workspace(ws: int) -> tuple[ColumnElement[bool], ...]:
    return subflow.c.ws == ws, subflow.c.version == active_version()


def _walk_statuses(ws: int, wanted: RunFilter, walk: Walk) -> Select[tuple[UUID]]:
    statuses = [status for state in wanted.states for status in STATUSES[state]]
    unnested = func.unnest(
        cast(statuses if wanted.states else list(ALL_STATUSES), ARRAY(Text))
    ).table_valued(column("status", Text), name="wanted")
    wanted_status = unnested.render_derived()
    key = subflow.c.place
    of_one = select(key).where(*_of_workspace(ws), subflow.c.status == wanted_status.c.status)
    if wanted.flow:
        of_one = of_one.where(subflow.c.name == wanted.flow)
    heads = (
        of_one.where(*bounds(key, replace(wanted, prefix=None), walk))
        .order_by(order(key, walk))
        .limit(walk.limit)
        .lateral("heads")
    )
    return (
        select(heads.c.place)
        .select_from(wanted_status.join(heads, true()))
        .order_by(order(heads.c.place, walk))
        .limit(walk.limit)
    )
