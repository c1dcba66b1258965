"""Go to anything: an id pasted whole opens at once, letters find names. The palette shows the same page's results."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.db.pool import Connection
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.overview import Found, find
from headway_control_plane.projections.run_filters import RunFilter
from headway_control_plane.projections.runs import list_runs
from headway_control_plane.ui.pages.site import PROJECTION, Site
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views.parts import RunRow, deployment_href, link, run_row

EACH = 8
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_PREFIX = re.compile(r"[0-9a-f]{4,8}(-[0-9a-f-]{0,27})?", re.IGNORECASE)
_CURSOR = re.compile(r"@?(\d{1,9}:)?(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Hit:
    """A line of the results."""

    icon: str
    name: str
    detail: str
    href: str


async def search_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show what a text may mean."""
    text = request.query_params.get("q", "").strip()[:200]
    now = site.services.clock.now()
    pasted = _UUID.search(text)
    groups: list[tuple[str, list[Hit]]] = []
    async with site.services.reads.workspace(viewer.ws) as connection:
        runs = await _runs(connection, viewer.ws, text, pasted, now)
        found = [] if pasted or not text else await find(connection, viewer.ws, text, each=EACH)
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    if pasted and len(runs) == 1 and "fragment" not in request.query_params:
        return RedirectResponse(runs[0].href, status_code=303)
    if match := _CURSOR.fullmatch(text):
        groups.append(
            ("Events", [Hit("events", f"offset {match[2]}", "", link("/events", {"at": match[0]}))])
        )
    groups += [(name, hits) for name, hits in _named(found) if hits]
    if runs:
        groups.append(
            (
                "Runs",
                [Hit(run.state, f"{run.flow} · {run.name}", run.reason, run.href) for run in runs],
            )
        )
    values = {"groups": groups, "text": text, "query": text}
    if "fragment" in request.query_params:
        return site.renderer.bare(request, "_results.html", values)
    return await site.show(request, viewer, "search.html", values, freshness=freshness)


async def _runs(
    connection: Connection, ws: int, text: str, pasted: re.Match[str] | None, now: datetime
) -> list[RunRow]:
    if pasted:
        wanted = RunFilter(prefix=UUID(pasted[0]).hex)
    elif _PREFIX.fullmatch(text):
        wanted = RunFilter(prefix=text)
    else:
        return []
    page = await list_runs(connection, ws, wanted, now=now, limit=EACH)
    return [run_row(view, now) for view in page.items]


def _named(found: list[Found]) -> list[tuple[str, list[Hit]]]:
    def hits(kind: str) -> list[Found]:
        return [each for each in found if each.kind == kind]

    return [
        (
            "Deployments",
            [
                Hit(
                    "deployments",
                    each.name,
                    each.detail if each.detail != each.name else "",
                    deployment_href(each.name),
                )
                for each in hits("deployment")
            ],
        ),
        (
            "Flows",
            [
                Hit("flow", each.name, "its runs", link("/runs", {"q": f'flow:"{each.name}"'}))
                for each in hits("flow")
            ],
        ),
        ("Pools", [Hit("agents", each.name, "pool", "/agents#pools") for each in hits("pool")]),
        ("Agents", [Hit("agents", each.name, "agent", "/agents#agents") for each in hits("agent")]),
    ]
