"""Browser sessions: an API key in a cookie that no script can read. Revoking the key ends the session at the next request."""

from __future__ import annotations

import hashlib

from starlette.requests import Request

from headway_control_plane.application.api_keys import verify_api_key
from headway_control_plane.application.credentials import Credentials
from headway_control_plane.application.errors import NotAuthenticated
from headway_control_plane.clock import Clock
from headway_control_plane.projections.overview import workspace_name
from headway_control_plane.projections.reading import Reads
from headway_control_plane.ui.services import SignedIn, Viewer

COOKIE = "headway_session"
# A cookie of this name is only taken over TLS, and only from this very host.
SECURE_COOKIE = "__Host-headway_session"
_LONGEST = 30 * 24 * 3600


class CookieSessions:
    """Sessions of the UI; the REST API accepts the same cookie."""

    def __init__(
        self, credentials: Credentials, reads: Reads, clock: Clock, *, secure: bool
    ) -> None:
        self._credentials = credentials
        self._reads = reads
        self._clock = clock
        self._cookie = SECURE_COOKIE if secure else COOKIE
        self._names: dict[int, str] = {}

    async def viewer(self, request: Request) -> Viewer | None:
        """Return who sent the request."""
        key = request.cookies.get(self._cookie)
        return await self._viewer(key) if key else None

    async def sign_in(self, token: str) -> SignedIn | None:
        """Open a session for an API key."""
        if await self._viewer(token) is None:
            return None
        return SignedIn(self._cookie, token, _LONGEST)

    async def _viewer(self, key: str) -> Viewer | None:
        try:
            principal = await verify_api_key(self._credentials, self._clock, key)
        except NotAuthenticated:
            return None
        secret = hashlib.sha256(b"headway session " + key.encode()).digest()
        name = await self._workspace(principal.ws)
        return Viewer(principal.ws, name, principal.actor, secret)

    async def _workspace(self, ws: int) -> str:
        """Names of workspaces do not change, so each is read once."""
        if ws not in self._names:
            async with self._reads.workspace(ws) as connection:
                self._names[ws] = await workspace_name(connection, ws)
        return self._names[ws]
