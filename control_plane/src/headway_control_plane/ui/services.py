"""What the pages need of the rest of the control plane, as one value made by the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from starlette.requests import Request

from headway_control_plane.application.catalogue import Catalogue
from headway_control_plane.application.ports import Log, LogReader
from headway_control_plane.clock import Clock
from headway_control_plane.ids import IdSource
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.reading import Reads


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks, and at which workspace. `secret` is known to this browser and the server alone: forms are tied to it."""

    ws: int
    workspace: str
    actor: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that was opened: what the cookie shall hold, and for how many seconds."""

    cookie: str
    value: str
    max_age: int


class Sessions(Protocol):
    """Browser sessions. The REST API and the UI accept the same cookie."""

    async def viewer(self, request: Request) -> Viewer | None:
        """Return who sent the request, None for nobody we know."""
        ...

    async def sign_in(self, token: str) -> SignedIn | None:
        """Open a session for an API key or a login token; None when it does not hold."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that routes reach for. `closing` is set when the process drains: streams to browsers end then."""

    reads: Reads
    reader: LogReader
    log: Log
    catalogue: Catalogue
    engine: ProjectionEngine
    sessions: Sessions
    ids: IdSource
    clock: Clock
    entropy: Callable[[int], bytes]
    closing: asyncio.Event = field(default_factory=asyncio.Event)
