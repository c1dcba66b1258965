"""Which runs a list shows, as statements whose cost does not grow with the number of runs.

The newest runs of a filter are found by walking an index from its end (`_walk`). Of several states each is walked on its own
and the heads are merged. What no index holds (a text, a second tag, the state beside a tag) is checked on the runs so walked,
a bounded number at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Select,
    Text,
    Uuid,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    true,
)

from headway_control_plane.application.run_search import RunSearch
from headway_control_plane.db.tables import run, run_tag
from headway_control_plane.domain.run.state import RunStatus

ALL_STATES = tuple(RunStatus)
_ID_PREFIX = re.compile(r"[0-9a-f]{1,32}")

Statement = Select[tuple[UUID]] | CompoundSelect[tuple[UUID]]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """An empty filter shows all. `tags` must all be there; `text` is searched in the name and the flow; `prefix` is of the id."""

    states: Sequence[RunStatus] = ()
    deployment: UUID | None = None
    flow: str | None = None
    tags: Sequence[str] = ()
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    prefix: str | None = None
    parent: UUID | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether an index alone answers, so that nothing walked is thrown away."""
        if self.parent:
            return not (self.states or self.deployment or self.flow or self.tags or self.text)
        if self.tags:
            return not (self.states or self.deployment or self.flow or self.tags[1:] or self.text)
        return self.text is None and not (self.deployment and self.flow)

    @property
    def ways(self) -> tuple[bool, ...]:
        """By which index to walk: by tag (True) or not. Which of two is the shorter way shows when both were tried."""
        if self.parent:
            return (False,)  # its children are few beside all runs
        by_another = bool(self.states or self.deployment or self.flow)
        return tuple(way for way in (True, False) if (self.tags if way else by_another)) or (False,)


@dataclass(frozen=True, slots=True)
class Walk:
    """A stretch of the list: newest first beyond `beyond`, or back from it, oldest first."""

    beyond: UUID | None
    back: bool
    limit: int


def filter_of(search: RunSearch) -> RunFilter:
    """Return what the filter language asks for, but for the deployment, which it names and a list takes by its id."""
    return RunFilter(
        states=search.states,
        flow=search.flow or None,
        tags=search.tags,
        text=search.text or None,
        since=search.since,
        until=search.until,
        prefix=search.prefix or None,
        parent=search.parent,
    )


def candidates(
    ws: int, wanted: RunFilter, walk: Walk, *, by_tag: bool = True
) -> Select[tuple[UUID]]:
    """The next runs of an index, in the order of the walk."""
    if wanted.parent:
        return _walk_children(ws, wanted, walk)
    if wanted.tags and by_tag:
        return _walk_tag(ws, wanted, walk)
    if wanted.states or wanted.deployment or wanted.flow:
        return _walk_states(ws, wanted, walk)
    key = run.c.run
    return (
        select(key)
        .where(run.c.ws == ws, *bounds(key, wanted, walk))
        .order_by(order(key, walk))
        .limit(walk.limit)
    )


def residue(wanted: RunFilter, *, by_tag: bool = True) -> Iterator[ColumnElement[bool]]:
    """What is left to check on a candidate."""
    by_tag = by_tag and bool(wanted.tags) and not wanted.parent
    unsorted = by_tag or bool(wanted.parent)
    if unsorted and wanted.states:
        yield run.c.status.in_(wanted.states)
    if unsorted and wanted.deployment:
        yield run.c.deployment == wanted.deployment
    if unchecked := list(wanted.tags[1:] if by_tag else wanted.tags):
        yield run.c.tags.bool_op("@>")(cast(unchecked, ARRAY(Text)))
    if wanted.flow and (unsorted or wanted.deployment):
        yield run.c.flow == wanted.flow
    if wanted.text:
        yield or_(
            run.c.name.icontains(wanted.text, autoescape=True),
            run.c.flow.icontains(wanted.text, autoescape=True),
        )


def _walk_children(ws: int, wanted: RunFilter, walk: Walk) -> Select[tuple[UUID]]:
    key = run.c.run
    return (
        select(key)
        .where(run.c.ws == ws, run.c.parent_run == wanted.parent, *bounds(key, wanted, walk))
        .order_by(order(key, walk))
        .limit(walk.limit)
    )


def _walk_tag(ws: int, wanted: RunFilter, walk: Walk) -> Select[tuple[UUID]]:
    key = run_tag.c.run
    return (
        select(key)
        .where(run_tag.c.ws == ws, run_tag.c.tag == wanted.tags[0], *bounds(key, wanted, walk))
        .order_by(order(key, walk))
        .limit(walk.limit)
    )


def _walk_states(ws: int, wanted: RunFilter, walk: Walk) -> Select[tuple[UUID]]:
    states = [str(state) for state in wanted.states or ALL_STATES]
    unnested = func.unnest(cast(states, ARRAY(Text)))
    wanted_state = unnested.table_valued(column("status", Text), name="wanted").render_derived()
    key = run.c.run
    of_one_state = select(key).where(run.c.ws == ws, run.c.status == wanted_state.c.status)
    if wanted.deployment:
        of_one_state = of_one_state.where(run.c.deployment == wanted.deployment)
    elif wanted.flow:
        of_one_state = of_one_state.where(run.c.flow == wanted.flow)
    heads = (
        of_one_state.where(*bounds(key, wanted, walk))
        .order_by(order(key, walk))
        .limit(walk.limit)
        .lateral("heads")
    )
    return (
        select(heads.c.run)
        .select_from(wanted_state.join(heads, true()))
        .order_by(order(heads.c.run, walk))
        .limit(walk.limit)
    )


def order(key: ColumnElement[UUID], walk: Walk) -> ColumnElement[UUID]:
    """The order of the walk."""
    return key.asc() if walk.back else key.desc()


def bounds(
    key: ColumnElement[UUID], wanted: RunFilter, walk: Walk
) -> Iterator[ColumnElement[bool]]:
    """Times are bounds of the id, which begins with the millisecond of its making."""
    if walk.beyond is not None:
        edge = literal(walk.beyond, Uuid())
        yield key > edge if walk.back else key < edge
    if wanted.since is not None:
        yield key >= literal(id_at(wanted.since), Uuid())
    if wanted.until is not None:
        yield key < literal(id_at(wanted.until), Uuid())
    if wanted.prefix is not None:
        first, last = prefix_range(wanted.prefix)
        yield key.between(literal(first, Uuid()), literal(last, Uuid()))


def id_at(at: datetime) -> UUID:
    """The lowest UUIDv7 of an instant."""
    milliseconds = min(max(int(at.timestamp() * 1000), 0), (1 << 48) - 1)
    return UUID(int=milliseconds << 80)


def prefix_range(prefix: str) -> tuple[UUID, UUID]:
    """The lowest and the highest id that begin like this; raises ValueError for what is no beginning of an id."""
    digits = prefix.replace("-", "").lower()
    if not _ID_PREFIX.fullmatch(digits):
        raise ValueError(prefix)
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
