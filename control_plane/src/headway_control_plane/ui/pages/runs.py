"""The list of runs: what is wrong or stuck now, and why?"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from headway_control_plane.application.errors import InvalidRequest
from headway_control_plane.application.run_search import RunSearch, read_search, split_words
from headway_control_plane.db.pool import Connection
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.deployments import find_deployment
from headway_control_plane.projections.gathering import side_by_side
from headway_control_plane.projections.keyset import Page
from headway_control_plane.projections.run_filters import RunFilter, filter_of
from headway_control_plane.projections.run_starts import count_starts, first_counted
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.runs import COUNT_CAP, StateCounts, count_by_state, list_runs
from headway_control_plane.projections.subflows import (
    Listed,
    SubflowView,
    count_both,
    list_runs_and_subflows,
    load_both,
    place_of,
)
from headway_control_plane.ui import words
from headway_control_plane.ui.pages.site import PROJECTION, Site
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views.parts import (
    RunRow,
    Tab,
    first_lines,
    link,
    run_row,
    subflow_row,
)
from headway_control_plane.ui.views.starts import Strip, edges_of, strip_of
from headway_control_plane.ui.zones import Zone, zone_of

PAGE = 40
MOST_KEPT = 200

STATES: Mapping[str, tuple[str, tuple[RunStatus, ...]]] = {
    "failed": ("Failed", (RunStatus.FAILED, RunStatus.CRASHED)),
    "waiting": ("Waiting", (RunStatus.SCHEDULED, RunStatus.PENDING, RunStatus.PAUSED)),
    "running": ("Running", (RunStatus.RUNNING, RunStatus.CANCELLING)),
    "completed": ("Completed", (RunStatus.COMPLETED,)),
    "cancelled": ("Cancelled", (RunStatus.CANCELLED,)),
    "": ("All", ()),
}
AGES = {
    "": "any time",
    "1h": "last hour",
    "24h": "last 24 h",
    "7d": "last 7 days",
    "30d": "last 30 days",
}
_SPANS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}


Listing = Callable[..., Coroutine[Any, Any, Page[RunView] | Page[Listed]]]


@dataclass(slots=True)
class Wanted:
    """The filter as the database takes it, and what of it cannot be met."""

    filter: RunFilter
    problems: list[str] = field(default_factory=list)
    impossible: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """A page of the list, and what was counted beside it."""

    page: Page[RunView] | Page[Listed] | None = None
    counts: StateCounts | None = None
    strip: Strip | None = None

    @property
    def views(self) -> list[Listed]:
        return list(self.page.items) if self.page else []


async def runs_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show a page of runs."""
    now = site.services.clock.now()
    params = request.query_params
    query = _query(params)
    state, subflows = query["state"], bool(query["subflows"])
    zone = zone_of(request)
    search, problems = _search(query["q"], now, zone)
    async with site.services.reads.workspace(viewer.ws) as connection:
        wanted = Wanted(RunFilter(), problems, impossible=True)
        if search is not None:
            wanted = await _wanted(connection, viewer.ws, search, query["since"], now)
        page_filter = _of_tab(wanted, STATES[state][1])
        async with side_by_side(connection) as looks:
            each, cursor = looks.connection, params.get("after")
            fresh = looks.read(checkpoints.freshness(each, viewer.ws, PROJECTION))
            if wanted.impossible:
                found = _Found()
            else:
                listing: Listing = list_runs_and_subflows if subflows else list_runs
                listed = looks.read(
                    listing(each, viewer.ws, page_filter, now=now, cursor=cursor, limit=PAGE)
                )
                counted = looks.read(
                    _counted(each, viewer.ws, wanted, page_filter, query, zone, now)
                )
                found = _Found(await listed, *await counted)
            kept = await _kept(each, viewer.ws, request, found.views, now)
        page, views, counts = found.page, found.views, found.counts
        freshness = fresh.result()
    texts = {view.error_text for view in (*views, *kept) if view.error_text}
    errors = first_lines(await site.services.reader.blobs(viewer.ws, texts))
    values = {
        "rows": [_row(view, now, errors) for view in views],
        "kept": [_row(view, now, errors) for view in kept],
        "tabs": _tabs(query, counts),
        "strip": found.strip,
        "state": state,
        "state_name": STATES[state][0] if state else "",
        "text": query["q"],
        "since": query["since"],
        "subflows": subflows,
        "ages": list(AGES.items()),
        "chips": _chips(query, search, now, zone) if search else [],
        "problems": wanted.problems,
        "filtered": bool(state or query["q"].strip() or query["since"]) or "after" in params,
        "hidden": _hidden(counts, state),
        "next": link("/runs", {**query, "after": page.next}) if page and page.next else None,
        "previous": link("/runs", {**query, "after": page.previous})
        if page and page.previous
        else None,
        "live": "" if "after" in params else "runs",
    }
    return await site.show(request, viewer, "runs.html", values, freshness=freshness)


def _query(params: Mapping[str, str]) -> dict[str, str]:
    """Read the address; what it cannot hold counts as absent."""
    state, since = params.get("state", ""), params.get("since", "")
    return {
        "state": state if state in STATES else "",
        "q": params.get("q", "")[:2000],
        "since": since if since in AGES else "",
        "subflows": "1" if params.get("subflows") else "",
    }


def _search(text: str, now: datetime, zone: Zone) -> tuple[RunSearch | None, list[str]]:
    """Read the filter box; None and why, where it can't be read."""
    try:
        return read_search(text, now, zone.info), []
    except InvalidRequest as mistake:
        return None, [each.message for each in mistake.problems]


async def _wanted(
    connection: Connection, ws: int, search: RunSearch, since: str, now: datetime
) -> Wanted:
    wanted = Wanted(filter_of(search))
    if since:
        at = now - _SPANS[since]
        wanted.filter = replace(wanted.filter, since=max(search.since or at, at))
    if search.deployment:
        found = await find_deployment(connection, ws, search.deployment)
        if found is None:
            wanted.problems.append(f"There is no deployment {search.deployment!r}.")
            wanted.impossible = True
        else:
            wanted.filter = replace(wanted.filter, deployment=found.deployment)
    return wanted


def _of_tab(wanted: Wanted, states: tuple[RunStatus, ...]) -> RunFilter:
    """Narrow the filter to the tab; between states that both name, what both mean is left."""
    named = tuple(wanted.filter.states)
    both = tuple(state for state in states if state in named) if states and named else states or named  # fmt: skip
    if states and named and not both:
        wanted.impossible = True
        wanted.problems.append(f"No run of this tab is {' or '.join(named)}.")
    return replace(wanted.filter, states=both)


async def _counted(
    connection: Connection,
    ws: int,
    wanted: Wanted,
    of_tab: RunFilter,
    query: Mapping[str, str],
    zone: Zone,
    now: datetime,
) -> tuple[StateCounts, Strip | None]:
    """Count the runs by state for the tabs, and those of the list over the time for which they were all counted."""
    subflows = bool(query["subflows"])
    counts = await (count_both if subflows else count_by_state)(connection, ws, wanted.filter)
    first = first_counted(counts, of_tab.states)
    if first is None:
        return counts, None
    capped = bool(counts.capped & set(of_tab.states or tuple(RunStatus)))
    start = first if capped or of_tab.since is None else of_tab.since
    edges = edges_of(start, min(of_tab.until or now, now), zone)
    buckets = await count_starts(connection, ws, of_tab, edges, subflows=subflows)
    strip = strip_of(edges, buckets, zone, href=partial(_of_time, query), more=capped)
    return counts, strip


def _of_time(query: Mapping[str, str], begin: datetime, end: datetime) -> str:
    """Return the list of one stretch of time: the same filter, with these bounds in place of its own."""
    rest = [word for word in split_words(query["q"]) if not word.startswith(("since:", "until:"))]
    bounds = [f"since:{_iso(begin)}", f"until:{_iso(end)}"]
    return link("/runs", {**query, "since": "", "q": " ".join([*rest, *bounds])})


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _kept(
    connection: Connection, ws: int, request: Request, shown: Sequence[Listed], now: datetime
) -> list[Listed]:
    """Return runs and sub-flows that an open page shows and the list no longer does, so that they change in place there."""
    have = {place_of(view) for view in shown}
    ids = []
    for text in request.headers.get("headway-keep", "").split(",")[:MOST_KEPT]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue  # an empty or foreign entry names no run
    return await load_both(connection, ws, [each for each in ids if each not in have], now=now)


def _row(view: Listed, now: datetime, errors: Mapping[bytes, str]) -> RunRow:
    if isinstance(view, SubflowView):
        return subflow_row(view, now, errors)
    return run_row(view, now, errors)


def _tabs(query: Mapping[str, str], counts: StateCounts | None) -> list[Tab]:
    return [
        Tab(
            name,
            link("/runs", {**query, "state": key}),
            _number(counts, states) if counts else "0",
            current=query["state"] == key,
        )
        for key, (name, states) in STATES.items()
    ]


def _number(counts: StateCounts, states: Sequence[RunStatus]) -> str:
    states = states or tuple(counts.counts)
    total = sum(counts.counts.get(state, 0) for state in states)
    capped = bool(counts.capped & set(states)) or total > COUNT_CAP
    return words.count(COUNT_CAP + 1 if capped else total, limit=COUNT_CAP)


def _hidden(counts: StateCounts | None, state: str) -> str:
    """Say what other tabs hold, when this one is empty."""
    if counts is None or not state:
        return ""
    total = sum(counts.counts.values())
    return f"{_number(counts, ())} in other states" if total else ""


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force, and where the list is without it."""

    name: str
    href: str


def _chips(query: Mapping[str, str], search: RunSearch, now: datetime, zone: Zone) -> list[Chip]:
    chips = []
    for number, word in enumerate(search.words):
        rest = [*search.words[:number], *search.words[number + 1 :]]
        name = _chip_name(word, search, now, zone)
        chips.append(Chip(name, link("/runs", {**query, "q": " ".join(rest)})))
    if query["subflows"]:
        chips.append(Chip("sub-flows too", link("/runs", {**query, "subflows": ""})))
    if query["since"]:
        chips.append(Chip(AGES[query["since"]], link("/runs", {**query, "since": ""})))
    return chips


def _chip_name(word: str, search: RunSearch, now: datetime, zone: Zone) -> str:
    """Say instants as the page says all times."""
    key = word.partition(":")[0]
    at = {"since": search.since, "until": search.until}.get(key)
    return f"{key} {words.date(at, now, zone)}" if at else word
