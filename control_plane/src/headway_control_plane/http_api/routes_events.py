"""Operations on the log: pages of events, and the stream of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from headway_control_plane.application.errors import InvalidRequest, Missing, Problem
from headway_control_plane.application.ports import START, Cursor
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.http_api.auth import (
    CallerDependency,
    ServicesDependency,
    is_still_welcome,
)
from headway_control_plane.http_api.common import errors
from headway_control_plane.http_api.routes_runs import missing_run
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes_other import EventShape, EventsShape
from headway_control_plane.http_api.sse import StreamPlaces, Subscription, Welcome, stream_events
from headway_control_plane.projections.events import (
    parse_stream,
    run_streams,
    stream_exists,
    view_event,
)

router = APIRouter(tags=["events"])

After = Annotated[
    str | None, Query(max_length=40, description="Events behind this cursor.", examples=["1:42"])
]
StreamName = Annotated[
    str | None,
    Query(
        alias="stream",
        max_length=200,
        description="Of this stream alone, `kind/id`.",
        examples=["run/0199..."],
    ),
]
OfRun = Annotated[
    UUID | None, Query(alias="run", description="Of this run and its attempts alone.")
]
Limit = Annotated[int, Query(ge=1, le=1000)]

_STREAM_DOCUMENT: dict[str, Any] = {
    "description": "Server-sent events. `id` is the cursor; `event: bookmark` tells progress, `event: reset` another epoch.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.get(
    "/events",
    summary="Read events",
    response_model=EventsShape,
    responses=errors(400, 404, 410, 422),
)
async def read_events(
    *,
    caller: CallerDependency,
    services: ServicesDependency,
    after: After = None,
    limit: Limit = 100,
    stream: StreamName = None,
    run: OfRun = None,
    newest: Annotated[
        bool, Query(description="The newest events of the log instead of those behind `after`.")
    ] = False,
) -> EventsShape:
    """Read the log in order: no gap, no event twice. From its beginning if `after` is left out."""
    if newest:
        _require_alone(after, stream, run)
        return await _newest(services, caller.ws, limit)
    streams = await _streams(services, caller.ws, stream, run)
    return await _page(services, caller.ws, _cursor(after), limit, streams)


@router.get(
    "/runs/{run_id}/events",
    tags=["runs"],
    summary="Read a run's events",
    response_model=EventsShape,
    responses=errors(400, 404, 410, 422),
)
async def read_run_events(
    run_id: UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    after: After = None,
    limit: Limit = 100,
) -> EventsShape:
    """Read what happened to a run and in its attempts, in the order of the log."""
    streams = await _streams(services, caller.ws, None, run_id)
    return await _page(services, caller.ws, _cursor(after), limit, streams)


@router.get(
    "/events/stream",
    summary="Follow events",
    response_class=StreamingResponse,
    responses=errors(400, 404, 422, 429) | {200: _STREAM_DOCUMENT},
)
async def follow_events(
    request: Request,
    caller: CallerDependency,
    services: ServicesDependency,
    after: After = None,
    stream: StreamName = None,
    run: OfRun = None,
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> StreamingResponse:
    """History and live in one: from `Last-Event-ID`, else from `after`, else from now on."""
    given = last_event_id or after
    begin = Cursor.parse(given) if given else (await services.reader.head(caller.ws)).cursor
    places: StreamPlaces = request.app.state.stream_places
    subscription = Subscription(caller.ws, begin, await _streams(services, caller.ws, stream, run))
    with ExitStack() as place:
        place.enter_context(places.take(caller.ws))
        held = place.pop_all()
    # The background task runs also when the client went before the first frame.
    return StreamingResponse(
        _hold(held, services, subscription, partial(is_still_welcome, request)),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
        background=BackgroundTask(held.close),
    )


async def _hold(
    place: ExitStack, services: Services, subscription: Subscription, welcome: Welcome
) -> AsyncIterator[bytes]:
    with place:
        async with aclosing(stream_events(services, subscription, welcome)) as frames:
            async for frame in frames:
                yield frame


def _require_alone(*others: object) -> None:
    if any(other is not None for other in others):
        raise InvalidRequest(
            "The request holds values that can't be accepted.",
            problems=[Problem("newest", "cannot be combined with after, stream or run")],
        )


async def _newest(services: Services, ws: int, limit: int) -> EventsShape:
    head = (await services.reader.head(ws)).cursor
    # The log has no gap, so the newest events are those behind this offset.
    begin = Cursor(head.epoch, max(head.offset - limit, 0))
    return await _page(services, ws, begin, limit, None)


async def _page(
    services: Services, ws: int, after: Cursor, limit: int, streams: list[Stream] | None
) -> EventsShape:
    found = await services.reader.read(ws, after, limit, streams)
    following = found[-1].cursor if found else after
    return EventsShape(
        items=[EventShape.of(view_event(event)) for event in found], next=str(following)
    )


async def _streams(
    services: Services, ws: int, stream: str | None, run: UUID | None
) -> list[Stream] | None:
    """Return the streams to read, None for all; what is not this workspace's is not there."""
    if stream is None and run is None:
        return None
    named = parse_stream(stream) if stream is not None else None
    async with services.reads.workspace(ws) as connection:
        if run is not None and not await stream_exists(connection, ws, Stream(StreamKind.RUN, run)):
            raise missing_run()
        if named is not None and not await stream_exists(connection, ws, named):
            raise Missing(
                f"There is no stream {named} in this workspace.",
                hint="Read all: GET /api/v1/events",
            )
    return [*(run_streams(run) if run else ()), *([named] if named else ())]


def _cursor(text: str | None) -> Cursor:
    return Cursor.parse(text) if text else START
