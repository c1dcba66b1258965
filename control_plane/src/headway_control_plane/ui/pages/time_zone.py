"""The page on which a reader chooses the zone of all times."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.ui import words
from headway_control_plane.ui.pages.site import Site, read_form
from headway_control_plane.ui.security import local_path
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.zones import BROWSER, COOKIE, Zone, read_zone, zone_names, zone_of

_A_YEAR = 365 * 24 * 3600


async def zone_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show the choice, and what time it is by it."""
    return await _show(site, request, viewer, request.query_params.get("next", ""))


async def choose_zone(site: Site, request: Request, viewer: Viewer) -> Response:
    """Take the choice, and go back to where it was made."""
    form = await read_form(request, viewer)
    named = form.text("zone") == "named"
    zone = read_zone(form.text("name") if named else form.text("zone"))
    if zone is None or (named and not form.text("name")):
        problem = (
            f"{form.text('name')!r} is no time zone. Write one as Europe/Berlin or Asia/Tokyo."
        )
        return await _show(site, request, viewer, form.text("next"), form.text("name"), problem)
    return answer_with(zone, local_path(form.text("next")) or "/runs")


def answer_with(zone: Zone, path: str) -> Response:
    """Go to a page of ours with this zone chosen."""
    answer = RedirectResponse(path, status_code=303)
    if zone.cookie:
        answer.set_cookie(COOKIE, zone.cookie, max_age=_A_YEAR, samesite="lax", path="/")
    else:
        answer.delete_cookie(COOKIE, path="/")
    return answer


async def _show(
    site: Site, request: Request, viewer: Viewer, wanted: str, typed: str = "", problem: str = ""
) -> Response:
    now = site.services.clock.now()
    zone = zone_of(request)
    chosen = "browser" if zone.browser else "utc" if zone.is_utc else "named"
    values = {
        "chosen": "named" if problem else chosen,
        "typed": typed or (zone.name if chosen == "named" else ""),
        "now": words.full(now, zone),
        "names": zone_names(),
        "browser": BROWSER,
        "wanted": local_path(wanted),
        "problem": problem,
    }
    return await site.show(
        request, viewer, "time_zone.html", values, status=422 if problem else 200
    )
