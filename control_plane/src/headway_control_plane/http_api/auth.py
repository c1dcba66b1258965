"""Who calls: an API key in the Authorization header, or the UI's session cookie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from headway_control_plane.application.api_keys import verify_api_key
from headway_control_plane.application.errors import NotAuthenticated
from headway_control_plane.db.outages import OUTAGES
from headway_control_plane.http_api.problems import CrossOrigin
from headway_control_plane.http_api.services import Services

_SAFE_METHODS = frozenset({"GET", "HEAD"})
_bearer = HTTPBearer(
    auto_error=False,
    bearerFormat="headway_key_...",
    description="An API key: `Authorization: Bearer headway_key_...`. It says which workspace the request is about.",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The workspace that a request is about, and who the log will name."""

    ws: int
    actor: str
    name: str


def services_of(request: Request) -> Services:
    """Return the services that the application was made with."""
    services: Services = request.app.state.services
    return services


async def authenticate(
    request: Request,
    presented: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Caller:
    """Return who calls, or refuse."""
    services = services_of(request)
    if presented is not None:
        principal = await verify_api_key(
            services.credentials, services.clock, presented.credentials
        )
        request.state.ws = principal.ws
        return Caller(principal.ws, principal.actor, principal.name)
    visitor = await services.sessions.viewer(request) if services.sessions else None
    if visitor is None:
        raise NotAuthenticated(
            "This needs an API key.",
            hint="Send `Authorization: Bearer headway_key_...`; on the command line: headway login",
        )
    _require_same_origin(request)
    return Caller(visitor.ws, visitor.actor, "browser session")


async def is_still_welcome(request: Request) -> bool:
    """Return whether the credential of a request that is being answered for long would be taken now, too."""
    try:
        await authenticate(request, await _bearer(request))
    except NotAuthenticated:
        return False
    except OUTAGES:
        return (
            True  # nobody can say; what is streamed is away as well, and the next look comes soon
        )
    return True


def _require_same_origin(request: Request) -> None:
    """A browser sends the cookie along whoever asks; only our own pages may act with it."""
    if request.method in _SAFE_METHODS:
        return
    # The guard has compared Origin with Host already; here it must not be missing.
    if (
        request.headers.get("origin") is None
        or request.headers.get("sec-fetch-site") == "cross-site"
    ):
        raise CrossOrigin("A request with a session cookie must come from a page of this server.")


async def _services_of(request: Request) -> Services:
    # A dependency that is no coroutine is sent to a thread, for each request.
    return services_of(request)


CallerDependency = Annotated[Caller, Depends(authenticate)]
ServicesDependency = Annotated[Services, Depends(_services_of)]
