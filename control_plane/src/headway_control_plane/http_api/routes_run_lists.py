"""Lists of runs, with or without their sub-flows, and counts of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from headway_control_plane.application.bulk import BulkAction
from headway_control_plane.application.errors import InvalidRequest, Missing, Problem
from headway_control_plane.application.run_search import RunSearch, read_search, states_for
from headway_control_plane.db.pool import Connection
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import (
    MinOffset,
    MinOffsetHeader,
    PageCursor,
    PageLimit,
    Since,
    Until,
    earliest,
    errors,
    require_text,
    tell_cursor,
)
from headway_control_plane.http_api.freshness import Wanted, wait_for_log, wait_for_projection
from headway_control_plane.http_api.shapes import PageShape
from headway_control_plane.http_api.shapes_runs import CountsShape, RunItem
from headway_control_plane.http_api.shapes_subflows import SubflowItem
from headway_control_plane.projections import runs
from headway_control_plane.projections.deployments import find_deployment
from headway_control_plane.projections.head import head
from headway_control_plane.projections.run_filters import RunFilter, filter_of, prefix_range
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.subflows import count_both, list_runs_and_subflows

router = APIRouter(prefix="/runs", tags=["runs"])

States = Annotated[list[RunStatus] | None, Query(alias="state", description="Any of these states.")]
Deployment = Annotated[
    str | None, Query(max_length=500, description="Id or name of the deployment.")
]
Flow = Annotated[str | None, Query(max_length=500, description="Name of the flow.")]
Tags = Annotated[
    list[str] | None, Query(alias="tag", max_length=20, description="All of these tags.")
]
Text = Annotated[
    str | None,
    Query(
        alias="q",
        max_length=200,
        description="Text in the run's name or flow. Looks at a bounded number of runs a page: a page may be short and have a next.",
    ),
]
Parent = Annotated[UUID | None, Query(description="Only runs that this run has started.")]
Prefix = Annotated[str | None, Query(max_length=36, description="Beginning of the run's id.")]
Search = Annotated[
    str | None,
    Query(
        alias="filter",
        max_length=2000,
        description="A filter as the page of runs and `--filter` take it: `flow:nightly state:failed since:24h words`."
        " It is read beside the other parameters; the same thing twice is refused.",
    ),
]
Action = Annotated[
    BulkAction | None,
    Query(description="Only runs in states to which this can be done."),
]

Subflows = Annotated[
    bool, Query(description="Also the sub-flows of runs, the first 100 of each run.")
]
ListedItem = RunItem | SubflowItem


@router.get(
    "",
    summary="List runs, newest first",
    response_model=PageShape[ListedItem],
    responses=errors(400, 404, 422),
)
async def list_all(
    *,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
    states: States = None,
    deployment: Deployment = None,
    flow: Flow = None,
    tags: Tags = None,
    q: Text = None,
    since: Since = None,
    until: Until = None,
    prefix: Prefix = None,
    parent: Parent = None,
    subflows: Subflows = False,
    search: Search = None,
    action: Action = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
    min_offset: MinOffset = None,
    min_offset_header: MinOffsetHeader = None,
) -> PageShape[ListedItem]:
    """List runs. Filters combine; every combination walks an index, however many runs there are.

    With `subflows` the sub-flows of runs stand among them, at the time of their start: the first 100 of each run, in the
    state that its newest attempt left them in.
    """
    now = services.clock.now()
    wanted = replace(_filter(states, flow, tags, q, prefix, since, until), parent=parent)
    found = read_search(require_text("filter", search) or "", now)
    wanted = _both(wanted, found, action, deployment)
    fresh = Wanted.parse(min_offset, min_offset_header)
    if subflows:
        await wait_for_projection(services, caller.ws, "task_timeline", fresh)
    else:
        await wait_for_log(services, caller.ws, fresh)
    # A run starts runs; its sub-flows are its own.
    listing = list_runs_and_subflows if subflows and wanted.parent is None else runs.list_runs
    async with services.reads.workspace(caller.ws) as connection:
        tell_cursor(response, await head(connection, caller.ws))
        page = await listing(
            connection,
            caller.ws,
            replace(
                wanted,
                deployment=await _deployment_id(
                    connection, caller.ws, deployment or found.deployment
                ),
            ),
            now=now,
            cursor=cursor,
            limit=limit,
        )
    items = [
        RunItem.of(view) if isinstance(view, RunView) else SubflowItem.of(view, now)
        for view in page.items
    ]
    return PageShape[ListedItem](items=items, next=page.next, previous=page.previous)


@router.get(
    "/counts",
    summary="Count runs by state",
    response_model=CountsShape,
    responses=errors(400, 404, 422),
)
async def count(
    *,
    caller: CallerDependency,
    services: ServicesDependency,
    states: States = None,
    deployment: Deployment = None,
    flow: Flow = None,
    tags: Tags = None,
    q: Text = None,
    since: Since = None,
    until: Until = None,
    subflows: Subflows = False,
    search: Search = None,
    action: Action = None,
) -> CountsShape:
    """Count to a cap of 10,000 a state, so that the cost is bounded; with `tag` or `q` among the newest 10,000 runs.

    With `subflows` those count too, as the list shows them.
    """
    found = read_search(require_text("filter", search) or "", services.clock.now())
    wanted = _both(_filter(states, flow, tags, q, None, since, until), found, action, deployment)
    async with services.reads.workspace(caller.ws) as connection:
        counting = count_both if subflows and wanted.parent is None else runs.count_by_state
        named = await _deployment_id(connection, caller.ws, deployment or found.deployment)
        counted = await counting(connection, caller.ws, replace(wanted, deployment=named))
    return CountsShape(
        states=dict(counted.counts),
        capped=sorted(counted.capped),
        cap=runs.COUNT_CAP,
        filter=search,
    )


def _both(
    wanted: RunFilter, search: RunSearch, action: BulkAction | None, deployment: str | None
) -> RunFilter:
    """Put the parameters and the filter together; each thing is said in one of them."""
    given = filter_of(search)
    twice = [
        name
        for name in ("states", "flow", "tags", "text", "since", "until", "prefix", "parent")
        if getattr(wanted, name) and getattr(given, name)
    ]
    if deployment and search.deployment:
        twice.append("deployment")
    if twice:
        problem = f"says {', '.join(twice)} again; say it here or in a parameter of its own"
        raise InvalidRequest(
            "The request holds values that can't be accepted.",
            problems=[Problem("filter", problem)],
        )
    both = RunFilter(
        states=wanted.states or given.states,
        flow=wanted.flow or given.flow,
        tags=wanted.tags or given.tags,
        text=wanted.text or given.text,
        since=wanted.since or given.since,
        until=wanted.until or given.until,
        prefix=wanted.prefix or given.prefix,
        parent=wanted.parent or given.parent,
    )
    earliest(both.since, both.until)
    return replace(both, states=states_for(tuple(both.states), action))


def _filter(
    states: list[RunStatus] | None,
    flow: str | None,
    tags: list[str] | None,
    q: str | None,
    prefix: str | None,
    since: datetime | None,
    until: datetime | None,
) -> RunFilter:
    earliest(since, until)
    return RunFilter(
        states=tuple(dict.fromkeys(states or ())),
        flow=require_text("flow", flow) or None,
        tags=tuple(dict.fromkeys(require_text("tag", tag) or "" for tag in tags or ())),
        text=require_text("q", q) or None,
        since=since,
        until=until,
        prefix=_require_prefix(prefix),
    )


def _require_prefix(prefix: str | None) -> str | None:
    if not prefix:
        return None
    try:
        prefix_range(prefix)
    except ValueError:
        raise InvalidRequest(
            "The request holds values that can't be accepted.",
            problems=[
                Problem("prefix", "must be the beginning of a run's id: hexadecimal digits and '-'")
            ],
        ) from None
    return prefix


async def _deployment_id(connection: Connection, ws: int, id_or_name: str | None) -> UUID | None:
    if not id_or_name:
        return None
    found = await find_deployment(connection, ws, require_text("deployment", id_or_name) or "")
    if found is None:
        raise Missing(
            f"There is no deployment {id_or_name!r} in this workspace.",
            hint="List them with: headway deployments ls",
        )
    return found.deployment
