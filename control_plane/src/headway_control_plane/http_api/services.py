"""What the REST API needs of the rest of the control plane, as one value made by the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from starlette.requests import Request

from headway_control_plane.application.catalogue import Catalogue
from headway_control_plane.application.credentials import Credentials, Entropy
from headway_control_plane.application.ports import Log, LogReader
from headway_control_plane.clock import Clock
from headway_control_plane.ids import IdSource
from headway_control_plane.projections.reading import Reads

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Visitor(Protocol):
    """Who a browser session belongs to."""

    @property
    def ws(self) -> int: ...

    @property
    def actor(self) -> str: ...


class BrowserSessions(Protocol):
    """Sessions of the UI, by cookie."""

    async def viewer(self, request: Request) -> Visitor | None: ...


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the API is served.

    Attributes:
        hosts: Names that the Host header may carry; None allows any, for servers behind a proxy that checks it. The default is
            right on loopback, where a page of any site could reach us under a name of its own (DNS rebinding).
        body_limit: Largest request body in bytes.
        heartbeat: Longest silence on an event stream.
        stream_age: When an event stream is ended, so that its client comes back with its cursor and is authenticated anew.
        requests_of_workspace: Most requests of one workspace's API keys under way at once, event streams apart.
        requests_at_once: How many of them are worked on at a time, the others wait for their turn: fewer than there are database
            connections.
        streams_of_workspace: Most event streams of one workspace at once.
        freshness_timeout: How long a read waits for a projection to reach `min_offset`.
    """

    hosts: frozenset[str] | None = LOOPBACK_HOSTS
    body_limit: int = 1024 * 1024
    heartbeat: timedelta = timedelta(seconds=15)
    stream_age: timedelta = timedelta(minutes=15)
    requests_of_workspace: int = 64
    requests_at_once: int = 4
    streams_of_workspace: int = 200
    freshness_timeout: timedelta = timedelta(seconds=5)


async def _always_ready() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that routes reach for. `closing` is set when the process drains: event streams end then."""

    log: Log
    reader: LogReader
    reads: Reads
    catalogue: Catalogue
    credentials: Credentials
    ids: IdSource
    clock: Clock
    entropy: Entropy
    sessions: BrowserSessions | None = None
    options: HttpOptions = field(default_factory=HttpOptions)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    is_ready: Callable[[], Awaitable[bool]] = _always_ready
