"""Tells open pages what has changed: one server-sent stream a page, one follower of the log a workspace.

A message says which runs and which kinds of thing changed, never how; the page then asks for itself again and swaps what
differs. So a burst of ten thousand events costs a reader a few messages, and there is one way only to draw a thing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from headway_control_plane.application.ports import (
    START,
    Bookmark,
    Cursor,
    EpochChanged,
    LogReader,
    Recorded,
)
from headway_control_plane.domain.streams import StreamKind
from headway_control_plane.projections.overview import last_line
from headway_control_plane.ui.pages.site import PROJECTION, Site
from headway_control_plane.ui.services import Viewer

_log = logging.getLogger(__name__)

# Between two messages of one stream, so that a busy workspace does not make a page busy.
QUIET_SECONDS = 0.3
HEARTBEAT_SECONDS = 15.0
# Log lines are no events: the page of a run that works looks for new ones this often.
LINES_SECONDS = 1.0
# Then the browser comes back by itself and is authenticated anew.
STREAM_SECONDS = 15 * 60.0
MOST_NAMED = 200

_OF_RUNS = frozenset({StreamKind.RUN, StreamKind.ATTEMPT})
_SCOPES = {
    "runs": _OF_RUNS | {StreamKind.DEPLOYMENT},
    "deployments": frozenset({StreamKind.RUN, StreamKind.DEPLOYMENT}),
    "agents": frozenset({StreamKind.RUN, StreamKind.AGENT, StreamKind.SESSION, StreamKind.POOL}),
    "events": frozenset(StreamKind),
}


@dataclass(slots=True)
class Pending:
    """What changed since a page was last told."""

    cursor: Cursor = START
    kinds: set[StreamKind] = field(default_factory=set)
    runs: set[UUID] = field(default_factory=set)

    def add(self, events: Sequence[Recorded]) -> None:
        self.cursor = events[-1].cursor
        for event in events:
            self.kinds.add(event.stream.kind)
            if event.stream.kind in _OF_RUNS and len(self.runs) <= MOST_NAMED:
                self.runs.add(event.stream.id)


class Subscription:
    """One page's share of the news."""

    def __init__(self) -> None:
        self._pending = Pending()
        self.news = asyncio.Event()
        self.broken = False

    def put(self, events: Sequence[Recorded]) -> None:
        self._pending.add(events)
        self.news.set()

    def end(self) -> None:
        """The log can't be followed any more: the stream ends, and the browser comes back."""
        self.broken = True
        self.news.set()

    def take(self) -> Pending:
        taken, self._pending = self._pending, Pending()
        self.news.clear()
        return taken


class LiveHub:
    """Follows the log of each workspace that somebody looks at."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._subscriptions: dict[int, set[Subscription]] = {}
        self._followers: dict[int, asyncio.Task[None]] = {}

    @contextlib.asynccontextmanager
    async def subscribe(self, ws: int) -> AsyncIterator[Subscription]:
        """Take part in a workspace's news for as long as the block lasts."""
        subscription = Subscription()
        others = self._subscriptions.setdefault(ws, set())
        others.add(subscription)
        if ws not in self._followers:
            self._followers[ws] = asyncio.create_task(self._follow(ws), name=f"live {ws}")
        try:
            yield subscription
        finally:
            others.discard(subscription)
            if not others and self._subscriptions.get(ws) is others:
                del self._subscriptions[ws]
                follower = self._followers.pop(ws, None)
                if follower is not None:
                    follower.cancel()

    async def _follow(self, ws: int) -> None:
        try:
            head = await self._reader.head(ws)
            async for news in self._reader.follow(ws, head.cursor):
                if not isinstance(news, Bookmark):
                    for subscription in tuple(self._subscriptions.get(ws, ())):
                        subscription.put(news)
        except EpochChanged:
            _log.info("the log of workspace %d has another epoch; its pages reconnect", ws)
        except Exception:  # noqa: BLE001 - logged; pages must not wait on a follower that is gone
            _log.exception("cannot follow the log of workspace %d; its pages reconnect", ws)
        finally:
            if self._followers.get(ws) is asyncio.current_task():
                del self._followers[ws]
            for subscription in self._subscriptions.get(ws, ()):
                subscription.end()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a page shows."""

    kinds: frozenset[StreamKind]
    run: UUID | None = None
    fence: int = 0

    def concerns(self, pending: Pending) -> bool:
        if self.run is not None:
            return self.run in pending.runs or len(pending.runs) > MOST_NAMED
        return bool(pending.kinds & self.kinds)


def read_scope(request: Request) -> Scope | None:
    """Read which page asks; None for no page of ours."""
    name, _, run = request.query_params.get("scope", "").partition("/")
    if name == "run":
        try:
            fence = request.query_params.get("fence", "")
            return Scope(_OF_RUNS, UUID(run), int(fence) if fence.isdigit() else 0)
        except ValueError:
            return None
    return Scope(_SCOPES[name]) if name in _SCOPES and not run else None


async def live_stream(site: Site, hub: LiveHub, request: Request, viewer: Viewer) -> Response:
    """Answer with the stream of one page."""
    scope = read_scope(request)
    if scope is None:
        return Response("There is no such page to follow.", status_code=400)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    body = _messages(site, hub, request, viewer, scope)
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


async def _messages(
    site: Site, hub: LiveHub, request: Request, viewer: Viewer, scope: Scope
) -> AsyncIterator[str]:
    yield "retry: 2000\nevent: hello\ndata: {}\n\n"
    lines = await _last_line(site, viewer, scope)
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + STREAM_SECONDS
    async with hub.subscribe(viewer.ws) as subscription:
        beat_at = looked_at = loop.time()
        while loop.time() < ends_at and not subscription.broken:
            await _news(subscription, LINES_SECONDS if scope.fence else HEARTBEAT_SECONDS)
            if site.services.closing.is_set():
                return
            if loop.time() - looked_at >= HEARTBEAT_SECONDS:
                looked_at = loop.time()
                if await site.services.sessions.viewer(request) is None:
                    return  # the page comes again, and is sent to the login
            pending = subscription.take()
            if scope.concerns(pending):
                yield await _changed(site, viewer, pending)
                beat_at = loop.time()
                await asyncio.sleep(QUIET_SECONDS)
            newest = await _last_line(site, viewer, scope)
            if newest > lines:
                lines = newest
                yield f"event: lines\ndata: {newest}\n\n"
            elif loop.time() - beat_at >= HEARTBEAT_SECONDS:
                beat_at = loop.time()
                yield "event: beat\ndata: {}\n\n"


async def _news(subscription: Subscription, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await subscription.news.wait()
    except TimeoutError:
        return  # nothing happened: the caller looks at what else may have


async def _changed(site: Site, viewer: Viewer, pending: Pending) -> str:
    # The page asks at once: what it then reads must show what it was told of. If the projection is slow it says so itself.
    with contextlib.suppress(EpochChanged):
        await site.services.engine.wait_until(viewer.ws, PROJECTION, pending.cursor)
    named = [str(run) for run in pending.runs] if len(pending.runs) <= MOST_NAMED else []
    kinds = sorted(kind.name.lower() for kind in pending.kinds)
    data = json.dumps({"cursor": str(pending.cursor), "kinds": kinds, "runs": named})
    return f"id: {pending.cursor}\nevent: changed\ndata: {data}\n\n"


async def _last_line(site: Site, viewer: Viewer, scope: Scope) -> int:
    if scope.run is None or not scope.fence:
        return 0
    async with site.services.reads.workspace(viewer.ws) as connection:
        return await last_line(connection, viewer.ws, scope.run, scope.fence)
