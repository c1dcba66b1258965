"""What every request passes before it is parsed, and what every answer carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway_control_plane.http_api.quota import RETRY_AFTER, OverQuota, Quota
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.shapes import ProblemShape

TOO_LARGE_HINT = "Put large data into a file or an object store and pass its name."
_HELD_OPEN = "/stream"  # these have places of their own, by workspace
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware around everything that is served.

    It names the request, checks Host and Origin (so that no page of another site reaches a server on loopback), ends bodies
    over the limit before anything reads them whole, and adds the security headers that an answer does not set itself.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._quota = Quota(
            services.options.requests_of_workspace, services.options.requests_at_once
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = self._name(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        dressed = _dress(send, request_id)
        refusal = _unnameable(scope["path"]) or self._refuse(headers)
        if refusal is not None:
            refusal.request_id = request_id
            await _answer(refusal)(scope, receive, dressed)
            return
        limited = _LimitedBody(receive, self._services.options.body_limit)
        credential = headers.get("authorization")
        if credential is None or scope["path"].endswith(_HELD_OPEN):
            await self._app(scope, limited, dressed)
            return
        try:
            async with self._quota.place(credential):
                await self._app(scope, limited, dressed)
                self._quota.learn(credential, scope["state"].get("ws"))
        except OverQuota:
            await self._quota.pause()
            await _answer(_over_quota(request_id), {"Retry-After": str(RETRY_AFTER)})(
                scope, receive, dressed
            )

    def _name(self, headers: Headers) -> str:
        given = headers.get("x-request-id", "")
        return given if _REQUEST_ID.fullmatch(given) else str(self._services.ids())

    def _refuse(self, headers: Headers) -> ProblemShape | None:
        options = self._services.options
        host = headers.get("host", "")
        if options.hosts is not None and _without_port(host) not in options.hosts:
            return _problem(
                421,
                "wrong_host",
                f"This server does not answer under the name {_without_port(host)!r}.",
                "Use the address that `headway up` printed, or name the host in HEADWAY_PUBLIC_URL.",
            )
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) != host:
            return _problem(
                403,
                "cross_origin",
                "A page of another site sent this request.",
                "Call the API from its own origin, or without a browser.",
            )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > options.body_limit:
            return _problem(413, "too_large", too_large(options.body_limit), TOO_LARGE_HINT)
        return None


def _unnameable(path: str) -> ProblemShape | None:
    """Nothing has a name with a NUL; the database can't even be asked."""
    if "\x00" not in path:
        return None
    return _problem(404, "not_found", "There is nothing here.", "Remove %00 from the path.")


class _LimitedBody:
    """Receives a body and counts."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._received = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._limit:
                # Whatever reads the body lets this class of error through.
                raise HTTPException(413, too_large(self._limit))
        return message


def too_large(limit: int) -> str:
    return f"The request is larger than {limit:,} bytes."


def _dress(send: Send, request_id: str) -> Send:
    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return dressed


def _host_of(origin: str) -> str | None:
    """Return host and port of an origin, None for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()


def _problem(status: int, code: str, detail: str, hint: str) -> ProblemShape:
    return ProblemShape(
        type=f"urn:headway:problem:{code}",
        title=detail.partition(".")[0],
        status=status,
        code=code,
        detail=detail,
        hint=hint,
    )


def _over_quota(request_id: str) -> ProblemShape:
    problem = _problem(
        429,
        "too_many_requests",
        "This workspace has as many requests under way as it may.",
        "Send the next one when one is answered.",
    )
    problem.request_id = request_id
    return problem


def _answer(shape: ProblemShape, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        shape.model_dump(), shape.status, headers, media_type="application/problem+json"
    )
