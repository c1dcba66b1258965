"""The list of runs: what is wrong or stuck now, and why?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from headway_control_plane.db.pool import Connection
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.deployments import find_deployment
from headway_control_plane.projections.keyset import Page
from headway_control_plane.projections.run_filters import RunFilter
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
_KEYS = ("flow", "deployment", "tag", "id", "parent")
_TOKEN = re.compile(rf'({"|".join(_KEYS)}):("[^"]*"|\S+)')
_LIKE_A_KEY = re.compile(r"(?<!\S)([a-z_]+):(?=[^\s/])")


@dataclass(frozen=True, slots=True)
class Search:
    """The filter box, read: exact keys and the rest as text."""

    flow: str = ""
    deployment: str = ""
    tags: tuple[str, ...] = ()
    parent: str = ""
    prefix: str = ""
    text: str = ""
    misspelt: tuple[str, ...] = ()


@dataclass(slots=True)
class Wanted:
    """The filter as the database takes it, and what of it cannot be met."""

    filter: RunFilter
    problems: list[str] = field(default_factory=list)
    impossible: bool = False


async def runs_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show a page of runs."""
    now = site.services.clock.now()
    params = request.query_params
    state = params.get("state", "") if params.get("state", "") in STATES else ""
    search = read_search(params.get("q", ""))
    since = params.get("since", "") if params.get("since", "") in AGES else ""
    subflows = bool(params.get("subflows"))
    async with site.services.reads.workspace(viewer.ws) as connection:
        wanted = await _wanted(connection, viewer.ws, search, since, now)
        page_filter = replace(wanted.filter, states=STATES[state][1])
        page: Page[RunView] | Page[Listed] | None = None
        counts = None
        if not wanted.impossible:
            listing = list_runs_and_subflows if subflows else list_runs
            page = await listing(
                connection, viewer.ws, page_filter, now=now, cursor=params.get("after"), limit=PAGE
            )
            counting = count_both if subflows else count_by_state
            counts = await counting(connection, viewer.ws, wanted.filter)
        views: list[Listed] = list(page.items) if page else []
        kept = await _kept(connection, viewer.ws, request, views, now)
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    texts = {view.error_text for view in (*views, *kept) if view.error_text}
    errors = first_lines(await site.services.reader.blobs(viewer.ws, texts))
    query = {
        "state": state,
        "q": params.get("q", ""),
        "since": since,
        "subflows": "1" if subflows else "",
    }
    values = {
        "rows": [_row(view, now, errors) for view in views],
        "kept": [_row(view, now, errors) for view in kept],
        "tabs": _tabs(query, counts),
        "state": state,
        "text": params.get("q", ""),
        "since": since,
        "subflows": subflows,
        "ages": list(AGES.items()),
        "chips": _chips(query, search),
        "problems": wanted.problems,
        "filtered": bool(state or search != Search() or since) or "after" in params,
        "hidden": _hidden(counts, state),
        "next": link("/runs", {**query, "after": page.next}) if page and page.next else None,
        "previous": link("/runs", {**query, "after": page.previous})
        if page and page.previous
        else None,
        "live": "" if "after" in params else "runs",
    }
    return await site.show(request, viewer, "runs.html", values, freshness=freshness)


def read_search(text: str) -> Search:
    """Take `flow:x`, `deployment:x`, `tag:x`, `id:x`, `parent:x` out of the text; a value with spaces stands in quotes."""
    keys: dict[str, list[str]] = {}
    for key, value in _TOKEN.findall(text):
        keys.setdefault(key, []).append(value.strip('"'))
    return Search(
        flow=keys.get("flow", [""])[-1],
        deployment=keys.get("deployment", [""])[-1],
        tags=tuple(keys.get("tag", ())),
        prefix=keys.get("id", [""])[-1],
        parent=keys.get("parent", [""])[-1],
        text=" ".join(word.strip('"') for word in _TOKEN.sub(" ", text).split()),
        misspelt=tuple(dict.fromkeys(_LIKE_A_KEY.findall(_TOKEN.sub(" ", text)))),
    )


async def _wanted(
    connection: Connection, ws: int, search: Search, since: str, now: datetime
) -> Wanted:
    wanted = Wanted(
        RunFilter(
            flow=search.flow or None,
            tags=search.tags,
            text=search.text or None,
            since=now - _SPANS[since] if since else None,
        )
    )
    for key in search.misspelt:
        wanted.problems.append(_unknown(key))
    if search.deployment:
        found = await find_deployment(connection, ws, search.deployment)
        if found is None:
            wanted.problems.append(f"There is no deployment {search.deployment!r}.")
            wanted.impossible = True
        else:
            wanted.filter = replace(wanted.filter, deployment=found.deployment)
    if search.parent:
        try:
            wanted.filter = replace(wanted.filter, parent=UUID(search.parent))
        except ValueError:
            wanted.problems.append(f"{search.parent!r} is no whole id of a run.")
            wanted.impossible = True
    if search.prefix:
        if re.fullmatch(r"[0-9a-fA-F-]{1,36}", search.prefix) and search.prefix.strip("-"):
            wanted.filter = replace(wanted.filter, prefix=search.prefix)
        else:
            wanted.problems.append(
                f"{search.prefix!r} is no beginning of an id: use 0-9, a-f and dashes."
            )
            wanted.impossible = True
    return wanted


def _unknown(key: str) -> str:
    advice = {
        "state": "choose the state by the tabs",
        "since": "choose the age beside the box",
    }
    near = get_close_matches(key, _KEYS, n=1)
    meant = f"did you mean {near[0]}:? There" if near else "there"
    known = f"{meant} are {', '.join(f'{each}:' for each in _KEYS)}; a text with a colon stands in quotes"
    return f"{key}: is no filter here and was looked for as text; {advice.get(key, known)}."


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


def _chips(query: Mapping[str, str], search: Search) -> list[Chip]:
    words_in_force = [
        *([f"flow:{_quoted(search.flow)}"] if search.flow else []),
        *([f"deployment:{_quoted(search.deployment)}"] if search.deployment else []),
        *(f"tag:{_quoted(tag)}" for tag in search.tags),
        *([f"id:{search.prefix}"] if search.prefix else []),
        *([f"parent:{search.parent}"] if search.parent else []),
        *([search.text] if search.text else []),
    ]
    chips = [
        Chip(word, link("/runs", {**query, "q": " ".join(w for w in words_in_force if w != word)}))
        for word in words_in_force
    ]
    if query["subflows"]:
        chips.append(Chip("sub-flows too", link("/runs", {**query, "subflows": ""})))
    if query["since"]:
        chips.append(Chip(AGES[query["since"]], link("/runs", {**query, "since": ""})))
    return chips


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
