"""What runs left for people to look at: by key, with versions; and the sections of a run's page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from headway_control_plane.projections import artifacts, checkpoints, metrics
from headway_control_plane.projections.artifacts import ArtifactView
from headway_control_plane.projections.gathering import SideBySide
from headway_control_plane.projections.keyset import Edge
from headway_control_plane.ui.pages.site import PROJECTION, NoSuchPage, Site, number_of, path_id
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views.artifact_view import IMAGES, artifact_of
from headway_control_plane.ui.views.chart import POINTS, Chart, chart_of
from headway_control_plane.ui.views.parts import Tab, artifact_href, link

PAGE = 50
ON_RUN_PAGE = 20
CHARTS = 12
_KINDS = {"": "All", "markdown": "Markdown", "table": "Tables", "link": "Links", "image": "Images", "progress": "Progress"}  # fmt: skip
# An image that somebody opens by itself runs nothing.
STRICT = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, max-age=3600, immutable",
}


async def artifacts_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """List the newest artifact of each key."""
    now = site.services.clock.now()
    params = request.query_params
    kind = params.get("kind", "") if params.get("kind", "") in _KINDS else ""
    prefix = params.get("q", "").replace("\x00", "")[:100]
    after = Edge.decode(params["after"]).key.replace("\x00", "") if "after" in params else ""
    async with site.services.reads.workspace(viewer.ws) as connection:
        found = await artifacts.latest(
            connection, viewer.ws, kind=kind or None, prefix=prefix, after=after, limit=PAGE + 1
        )
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    views = await artifacts.described(site.services.reader, viewer.ws, found[:PAGE])
    more = {"kind": kind, "q": prefix, "after": Edge(views[-1].key).encode()} if views else {}
    values = {
        "rows": [artifact_of(view, now) for view in views],
        "tabs": [
            Tab(name, link("/artifacts", {"kind": one, "q": prefix}), "", current=one == kind)
            for one, name in _KINDS.items()
        ],
        "kind": kind,
        "prefix": prefix,
        "next": link("/artifacts", more) if len(found) > PAGE else None,
        "live": "runs",
    }
    return await site.show(request, viewer, "artifacts.html", values, freshness=freshness)


async def artifact_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show what was saved under a key: one version, and the list of all."""
    now = site.services.clock.now()
    key = request.path_params["key"].replace("\x00", "")
    wanted = number_of(request, "version")
    before = number_of(request, "before", artifacts.NEWEST)
    async with site.services.reads.workspace(viewer.ws) as connection:
        found = await artifacts.history(connection, viewer.ws, key, before=before, limit=PAGE + 1)
        one = found[:1]
        if wanted:
            one = await artifacts.history(connection, viewer.ws, key, before=wanted + 1, limit=1)
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    if not one or (wanted and one[0].number != wanted):
        raise NoSuchPage("Nothing was saved under this key and version.", "/artifacts", "Artifacts")
    rows = await artifacts.described(site.services.reader, viewer.ws, found[:PAGE])
    contents = await site.services.reader.blobs(viewer.ws, _digests(one))
    [shown] = await _shown(one, contents, now)
    values = {
        "shown": shown,
        "rows": [artifact_of(view, now) for view in rows],
        "next": link(artifact_href(key), {"before": str(rows[-1].number)})
        if len(found) > PAGE
        else None,
        "live": "runs",
    }
    return await site.show(request, viewer, "artifact.html", values, freshness=freshness)


async def image(site: Site, request: Request, viewer: Viewer) -> Response:
    """The bytes of an image, for the pages of this session alone."""
    run = path_id(request)
    try:
        artifact = bytes.fromhex(request.path_params["artifact"])
    except ValueError:
        artifact = b""
    async with site.services.reads.workspace(viewer.ws) as connection:
        view = await artifacts.one(connection, viewer.ws, run, artifact)
    contents = (
        await site.services.reader.blobs(viewer.ws, [view.content])
        if view is not None and view.content and view.media_type in IMAGES
        else {}
    )
    if view is None or view.content not in contents:
        return Response("There is no such image.", 404, STRICT, media_type="text/plain")
    return Response(contents[view.content], 200, STRICT, media_type=view.media_type)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the page of a run shows beside its calls."""

    saved: Sequence[ArtifactView]
    more_saved: bool
    charts: Sequence[Chart]
    more_charts: int


async def read_outputs(looks: SideBySide, ws: int, run: UUID) -> Outputs:
    """Read a run's artifacts, and its metrics as charts."""
    connection = looks.connection
    saving = looks.read(artifacts.of_run(connection, ws, run, limit=ON_RUN_PAGE + 1))
    series = await metrics.list_series(connection, ws, run)
    shown = series[:CHARTS]
    drawing = [looks.read(metrics.points(connection, ws, run, one, POINTS)) for one in shown]
    charts = [chart_of(one, await drawn) for one, drawn in zip(shown, drawing, strict=True)]
    saved = await saving
    return Outputs(
        saved[:ON_RUN_PAGE], len(saved) > ON_RUN_PAGE, charts, max(0, len(series) - CHARTS)
    )


def output_digests(outputs: Outputs) -> set[bytes]:
    """Return by what the contents of a run's artifacts are found."""
    return _digests(outputs.saved)


async def output_values(
    outputs: Outputs, contents: Mapping[bytes, bytes], now: datetime
) -> dict[str, Any]:
    """Return the same as values of a template."""
    return {
        "saved": await _shown(outputs.saved, contents, now),
        "more_saved": outputs.more_saved,
        "charts": outputs.charts,
        "more_charts": outputs.more_charts,
    }


def _digests(views: Sequence[ArtifactView]) -> set[bytes]:
    return {digest for view in views for digest in (view.content, view.description) if digest}


async def _shown(
    views: Sequence[ArtifactView], contents: Mapping[bytes, bytes], now: datetime
) -> list[Any]:
    views = artifacts.with_texts(views, contents)
    # Texts of flows may be long, or made to take long: others get their turn meanwhile.
    return await asyncio.to_thread(lambda: [artifact_of(view, now, contents) for view in views])
