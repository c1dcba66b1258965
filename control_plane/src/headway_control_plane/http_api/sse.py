"""The event stream: history and live in one, as server-sent events whose ids are cursors.

Frames: an event of the log (no `event:` line, so that a browser's `onmessage` gets it); `bookmark`, everything up to its id was
delivered; `reset`, the cursor is of another epoch of the log, begin anew. Whoever reconnects with the last id misses nothing
and gets nothing twice. The reader sets the pace: the next events are fetched only when the last ones were taken.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from headway_control_plane.application.ports import (
    START,
    Bookmark,
    Cursor,
    EpochChanged,
    Page,
    Recorded,
    Unavailable,
)
from headway_control_plane.domain.streams import Stream
from headway_control_plane.http_api.problems import TooManyStreams
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes_other import EventShape
from headway_control_plane.projections.events import view_event

Batch = Page | Bookmark
Welcome = Callable[[], Awaitable[bool]]
"""Whether the client's credential is still taken."""

# What a page looks like on the wire, for as long as somebody holds the page: many subscribers get the very same one.
_encoded: WeakKeyDictionary[Page, bytes] = WeakKeyDictionary()


class StreamPlaces:
    """How many event streams each workspace has open in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[int] = Counter()

    @contextmanager
    def take(self, ws: int) -> Iterator[None]:
        if self._open[ws] >= self._most:
            raise TooManyStreams(f"The workspace has {self._most} event streams open already.")
        self._open[ws] += 1
        try:
            yield
        finally:
            self._open[ws] -= 1
            if not self._open[ws]:
                del self._open[ws]


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a stream delivers: the events behind `after`, of all or of some streams."""

    ws: int
    after: Cursor
    streams: Sequence[Stream] | None = None


async def stream_events(
    services: Services, wanted: Subscription, welcome: Welcome
) -> AsyncGenerator[bytes]:
    """Yield frames until the client leaves or loses its credential, the stream is old, or the process drains."""
    yield b"retry: 1000\n\n"
    pace = _Bookmarks(services, wanted.after)
    now = services.clock.monotonic()
    end_at = now + services.options.stream_age.total_seconds()
    look_again = services.options.heartbeat.total_seconds()
    look_at = now + look_again
    try:
        async for batch in _with_pauses(services, wanted):
            if services.clock.monotonic() >= look_at:
                if not await welcome():
                    return
                look_at = services.clock.monotonic() + look_again
            match batch:
                case None:
                    yield b": still here\n\n"
                case Bookmark():
                    if pace.is_due(batch.cursor):
                        yield _bookmark(batch.cursor)
                case _:
                    pace.delivered = batch[-1].cursor
                    yield _events(batch)
            if services.clock.monotonic() >= end_at:
                return
    except EpochChanged as changed:
        yield _reset(changed)


class _Bookmarks:
    """When to tell progress: once the end is first reached, then as rarely as heartbeats, and never the same twice."""

    def __init__(self, services: Services, delivered: Cursor) -> None:
        self.delivered = delivered
        self._clock = services.clock
        self._pause = services.options.heartbeat.total_seconds()
        self._next: float | None = None

    def is_due(self, cursor: Cursor) -> bool:
        now = self._clock.monotonic()
        if cursor == self.delivered or (self._next is not None and now < self._next):
            return False
        self._next = now + self._pause
        self.delivered = cursor
        return True


async def _with_pauses(services: Services, wanted: Subscription) -> AsyncIterator[Batch | None]:
    """Follow the log; None after each heartbeat's time without news. Ends when the process drains."""
    follower = services.reader.follow(wanted.ws, wanted.after, wanted.streams)
    closing = asyncio.create_task(services.closing.wait())
    following = asyncio.create_task(_next(follower))
    try:
        while True:
            done, _ = await asyncio.wait(
                {following, closing},
                timeout=services.options.heartbeat.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if closing in done:
                return
            if following not in done:
                yield None
                continue
            try:
                batch = following.result()
            except (StopAsyncIteration, Unavailable):
                return  # the client comes back with its cursor
            yield batch
            following = asyncio.create_task(_next(follower))
    finally:
        for task in (following, closing):
            task.cancel()
        await asyncio.wait({following, closing})
        with suppress(asyncio.CancelledError, Exception):
            # Taken from the task, so that nobody complains of an error that nobody looked at.
            following.result()
        if isinstance(follower, AsyncGenerator):
            await follower.aclose()


async def _next(follower: AsyncIterator[Batch]) -> Batch:
    return await anext(follower)


def _events(page: Page) -> bytes:
    encoded = _encoded.get(page)
    if encoded is None:
        encoded = _encoded[page] = b"".join(map(_event, page))
    return encoded


def _event(event: Recorded) -> bytes:
    body = EventShape.of(view_event(event)).model_dump_json()
    return f"id: {event.cursor}\ndata: {body}\n\n".encode()


def _bookmark(cursor: Cursor) -> bytes:
    return f'event: bookmark\nid: {cursor}\ndata: {{"cursor":"{cursor}"}}\n\n'.encode()


def _reset(changed: EpochChanged) -> bytes:
    body = {
        "code": "epoch_changed",
        "asked": str(changed.asked),
        "head": str(changed.head),
        "hint": "The log was restored or promoted. Drop what you derived from it and read again from 0:0.",
    }
    return f"event: reset\nid: {START}\ndata: {json.dumps(body)}\n\n".encode()
