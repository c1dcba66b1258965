"""What runs leave beside their results: artifacts, metrics."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from headway_control_plane.application.errors import Missing
from headway_control_plane.application.json_values import read_foreign
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import (
    MinOffset,
    MinOffsetHeader,
    PageCursor,
    PageLimit,
    errors,
    require_text,
)
from headway_control_plane.http_api.freshness import Wanted, wait_for_projection
from headway_control_plane.http_api.routes_run_parts import require_run
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes_outputs import (
    ArtifactContentShape,
    ArtifactPage,
    ArtifactShape,
    MetricsShape,
    PointsShape,
    SeriesShape,
)
from headway_control_plane.projections import artifacts, metrics
from headway_control_plane.projections.artifacts import ArtifactView
from headway_control_plane.projections.keyset import BadPageCursor, Edge

router = APIRouter(tags=["artifacts and metrics"])

PROJECTION = "task_timeline"
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
# Whatever it holds, a browser that opens it runs nothing of it and takes it for nothing else.
STRICT = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, max-age=3600, immutable",
}
Kind = Annotated[
    Literal["markdown", "table", "link", "image", "progress"] | None,
    Query(description="Of this kind."),
]
Prefix = Annotated[str, Query(max_length=100, description="Of keys that begin like this.")]


@router.get(
    "/artifacts",
    summary="List artifacts",
    response_model=ArtifactPage,
    responses=errors(400, 404, 422),
)
async def list_artifacts(
    *,
    caller: CallerDependency,
    services: ServicesDependency,
    run: Annotated[UUID | None, Query(description="All that this run saved, in order.")] = None,
    kind: Kind = None,
    prefix: Prefix = "",
    cursor: PageCursor = None,
    limit: PageLimit = 50,
    min_offset: MinOffset = None,
    min_offset_header: MinOffsetHeader = None,
) -> ArtifactPage:
    """The newest artifact of each key, by key. Or those of a run."""
    await wait_for_projection(
        services, caller.ws, PROJECTION, Wanted.parse(min_offset, min_offset_header)
    )
    after = _edge(cursor)
    prefix = require_text("prefix", prefix) or ""
    async with services.reads.workspace(caller.ws) as connection:
        if run is None:
            found = await artifacts.latest(
                connection, caller.ws, kind=kind, prefix=prefix, after=after, limit=limit + 1
            )
        else:
            await require_run(connection, caller.ws, run)
            found = await artifacts.of_run(
                connection,
                caller.ws,
                run,
                kind=kind,
                prefix=prefix,
                after=_number(after, 0),
                limit=limit + 1,
            )
    key = (lambda view: view.key) if run is None else (lambda view: str(view.first_offset))
    return await _page(services, caller.ws, found, limit, key)


@router.get(
    "/artifacts/{key}/versions",
    summary="List the versions of a key",
    response_model=ArtifactPage,
    responses=errors(400, 404, 422),
)
async def list_versions(
    key: str,
    caller: CallerDependency,
    services: ServicesDependency,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> ArtifactPage:
    """What was saved under a key, the newest first."""
    require_text("key", key)
    before = _number(_edge(cursor), artifacts.NEWEST)
    async with services.reads.workspace(caller.ws) as connection:
        found = await artifacts.history(connection, caller.ws, key, before=before, limit=limit + 1)
    if not found and cursor is None:
        raise Missing(
            "Nothing was saved under this key.", hint="List keys with: headway artifacts ls"
        )
    return await _page(services, caller.ws, found, limit, lambda view: str(view.number))


@router.get(
    "/runs/{run_id}/artifacts/{artifact_id}",
    summary="Show an artifact",
    response_model=ArtifactContentShape,
    responses=errors(404, 422),
)
async def show_artifact(
    run_id: UUID, artifact_id: str, caller: CallerDependency, services: ServicesDependency
) -> ArtifactContentShape:
    """An artifact with its content."""
    view = await _artifact(services, caller.ws, run_id, artifact_id)
    [view] = await artifacts.described(services.reader, caller.ws, [view])
    raw = await _content(services, caller.ws, view)
    return ArtifactContentShape(
        **ArtifactShape.fields_of(view),
        content=None if raw is None else _readable(view, raw),
        erased=bool(view.content) and raw is None,
    )


@router.get(
    "/runs/{run_id}/artifacts/{artifact_id}/content",
    summary="Read an artifact's content",
    response_class=Response,
    responses=errors(404, 422) | {200: {"content": {"application/octet-stream": {}}}},
)
async def read_artifact(
    run_id: UUID, artifact_id: str, caller: CallerDependency, services: ServicesDependency
) -> Response:
    """The bytes as they were saved: an image as itself, texts and tables as plain text."""
    view = await _artifact(services, caller.ws, run_id, artifact_id)
    raw = await _content(services, caller.ws, view)
    if raw is None:
        raise Missing(
            "This artifact has no content here: it is a progress, or the content was withheld or erased.",
            hint="A pool whose permits name `artifact` sends it.",
        )
    return content_response(view, raw)


def content_response(view: ArtifactView, raw: bytes) -> Response:
    """The content under headers that let no browser take it for a page."""
    image = view.media_type in IMAGES
    media_type = view.media_type if image else "text/plain; charset=utf-8"
    return Response(raw, media_type=media_type, headers=STRICT)


@router.get(
    "/runs/{run_id}/metrics",
    summary="List a run's metrics",
    response_model=MetricsShape,
    responses=errors(404, 422),
)
async def list_metrics(
    run_id: UUID, caller: CallerDependency, services: ServicesDependency
) -> MetricsShape:
    """Each with its range and its newest value."""
    async with services.reads.workspace(caller.ws) as connection:
        await require_run(connection, caller.ws, run_id)
        found = await metrics.list_series(connection, caller.ws, run_id)
    return MetricsShape(items=[SeriesShape.of(series) for series in found])


@router.get(
    "/runs/{run_id}/metrics/{name}",
    summary="Read the points of a metric",
    response_model=PointsShape,
    responses=errors(404, 422),
)
async def read_metric(
    run_id: UUID,
    name: str,
    caller: CallerDependency,
    services: ServicesDependency,
    points: Annotated[
        int, Query(ge=2, le=metrics.MOST_POINTS, description="Most points; more are thinned out.")
    ] = 500,
) -> PointsShape:
    """The points in order, of steps or of time. `name`: the metric's name, or its id."""
    async with services.reads.workspace(caller.ws) as connection:
        await require_run(connection, caller.ws, run_id)
        found = await metrics.list_series(connection, caller.ws, run_id)
        series = next((one for one in found if name in (one.name, one.id.hex())), None)
        if series is None:
            raise Missing(
                "The run has no metric of this name.",
                hint=f"List them with: headway runs metrics {run_id}",
            )
        read = await metrics.points(connection, caller.ws, run_id, series, points)
    return PointsShape.with_points(series, read)


async def _page(
    services: Services, ws: int, found: list[ArtifactView], limit: int, key: Any
) -> ArtifactPage:
    views = await artifacts.described(services.reader, ws, found[:limit])
    more = Edge(key(found[limit - 1])).encode() if len(found) > limit else None
    return ArtifactPage(items=[ArtifactShape.of(view) for view in views], next=more)


def _edge(cursor: str | None) -> str:
    return require_text("cursor", Edge.decode(cursor).key) or "" if cursor else ""


def _number(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadPageCursor
    return int(text)


async def _artifact(services: Services, ws: int, run_id: UUID, artifact: str) -> ArtifactView:
    async with services.reads.workspace(ws) as connection:
        await require_run(connection, ws, run_id)
        view = await artifacts.one(connection, ws, run_id, _bytes(artifact))
    if view is None:
        raise Missing(
            "The run has no such artifact.",
            hint=f"List them with: headway artifacts ls --run {run_id}",
        )
    return view


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


async def _content(services: Services, ws: int, view: ArtifactView) -> bytes | None:
    if not view.content:
        return None
    return (await services.reader.blobs(ws, [view.content])).get(view.content)


def _readable(view: ArtifactView, raw: bytes) -> Any:
    """What agents send is not trusted: JSON that is none is shown as text."""
    if view.media_type in IMAGES:
        return None
    text = raw.decode("utf-8", "replace")
    if view.media_type != "application/json":
        return text
    try:
        return read_foreign(text)
    except ValueError:
        return text
