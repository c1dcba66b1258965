"""The log, event by event: what happened, in order."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from headway_control_plane.application.ports import Cursor, Recorded
from headway_control_plane.projections.events import BadStream, parse_stream, view_event
from headway_control_plane.ui.pages.site import Site, number_of
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views.event_rows import event_rows
from headway_control_plane.ui.views.parts import link

PAGE = 100


async def events_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show the newest events, those around an offset, or one stream's."""
    params = request.query_params
    problem = ""
    stream = params.get("stream", "")
    freshness = await site.freshness(viewer)
    events: list[Recorded] = []
    newer, older = None, None
    if stream:
        try:
            version = number_of(request, "version")
            events = await site.services.reader.read_stream(
                viewer.ws, parse_stream(stream), version, PAGE
            )
        except BadStream as error:
            problem = str(error)
        if len(events) == PAGE:
            newer = link("/events", {"stream": stream, "version": str(events[-1].version)})
        older = link("/events", {"stream": stream}) if number_of(request, "version") else None
    else:
        last = _last(request, freshness.head)
        after = Cursor(last.epoch, max(0, last.offset - PAGE))
        events = await site.services.reader.read(viewer.ws, after, min(PAGE, last.offset))
        if events and events[0].cursor.offset > 1:
            older = link("/events", {"before": str(events[0].cursor)})
        if events and events[-1].cursor.offset < freshness.head.offset:
            newer = link(
                "/events",
                {"at": str(Cursor(freshness.head.epoch, events[-1].cursor.offset + PAGE))},
            )
    rows = event_rows(view_event(event) for event in events)
    values = {
        # The newest first, as in every list; a stream reads from its beginning.
        "events": rows if stream else rows[::-1],
        "stream": stream,
        "problem": problem,
        "newer": newer,
        "older": older,
        "live": "" if stream or "before" in params or "at" in params else "events",
    }
    return await site.show(request, viewer, "events.html", values, freshness=freshness)


def _last(request: Request, head: Cursor) -> Cursor:
    """Return the last event of the page: below `before`, around `at`, or the newest."""
    params = request.query_params
    if "before" in params:
        before = Cursor.parse(params["before"])
        return Cursor(before.epoch, max(0, before.offset - 1))
    text = params.get("at", "").strip().lstrip("@")
    if not text:
        return head
    at = Cursor.parse(text if ":" in text else f"{head.epoch}:{text}")
    # Half a page beyond, so that what surrounds the event is seen.
    return Cursor(at.epoch, min(at.offset + PAGE // 2, max(at.offset, head.offset)))
