"""Signing in and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.ui.pages.site import Site, read_fields
from headway_control_plane.ui.security import local_path, require_own_origin
from headway_control_plane.ui.sessions import SECURE_COOKIE

_REFUSED = "This key is unknown, mistyped, expired or revoked. `headway up` prints a live address each time it starts."
_LED_HERE = "A link on another site led here, so nobody was signed in. Paste the address into the address bar, or the key below."


async def login_page(site: Site, request: Request) -> Response:
    """Show the form, or sign in with the token in the address and leave it."""
    token = request.query_params.get("token", "")
    wanted = request.query_params.get("next", "")
    # Another site's link must not put somebody into a workspace of its choice, where they would then type their values.
    led_here = request.headers.get("sec-fetch-site") == "cross-site"
    if token and not led_here:
        return await _sign_in(site, request, token, wanted)
    values = {"refused": _LED_HERE if token else "", "wanted": local_path(wanted)}
    return site.renderer.bare(request, "login.html", values)


async def login(site: Site, request: Request) -> Response:
    """Sign in with the posted key."""
    require_own_origin(request)
    fields = await read_fields(request)
    return await _sign_in(site, request, fields.get("token", "").strip(), fields.get("next", ""))


async def _sign_in(site: Site, request: Request, token: str, wanted: str) -> Response:
    session = await site.services.sessions.sign_in(token)
    if session is None:
        values = {"refused": _REFUSED, "wanted": local_path(wanted)}
        return site.renderer.bare(request, "login.html", values, status=401)
    answer = RedirectResponse(local_path(wanted) or "/runs", status_code=303)
    answer.set_cookie(
        session.cookie,
        session.value,
        max_age=session.max_age,
        httponly=True,
        samesite="lax",
        secure=session.cookie == SECURE_COOKIE,
        path="/",
    )
    return answer
