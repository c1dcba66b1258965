"""From a template and values to an answer. Undefined values are errors, every text is escaped, large pages are packed."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from headway_control_plane.projections.read_model import Freshness
from headway_control_plane.ui import words
from headway_control_plane.ui.assets import Assets
from headway_control_plane.ui.security import HEADERS, form_token
from headway_control_plane.ui.services import Services, Viewer
from headway_control_plane.ui.views.parts import artifact_href, deployment_href
from headway_control_plane.ui.zones import zone_of

_PACK_FROM = 1024

_NAVIGATION = (
    ("Runs", "/runs", "runs"),
    ("Deployments", "/deployments", "deployments"),
    ("Artifacts", "/artifacts", "artifacts"),
    ("Agents", "/agents", "agents"),
    ("Variables", "/variables", "variables"),
    ("Events", "/events", "events"),
)


class Renderer:
    """Renders pages of one process."""

    def __init__(self, services: Services, assets: Assets) -> None:
        self._services = services
        self._environment = make_environment(assets)

    def page(
        self,
        request: Request,
        template: str,
        viewer: Viewer,
        freshness: Freshness,
        values: Mapping[str, Any],
        *,
        status: int = 200,
    ) -> Response:
        """Answer with a page in the frame that all pages share."""
        frame = {
            "viewer": viewer,
            "freshness": freshness,
            "navigation": navigation(request.url.path),
            "form_token": form_token(viewer.secret, self._services.entropy),
            "theme": _theme(request),
            "here": here(request),
            "zone": zone_of(request),
        }
        return self._answer(request, template, {**frame, **values}, status)

    def bare(
        self, request: Request, template: str, values: Mapping[str, Any], *, status: int = 200
    ) -> Response:
        """Answer with a page outside the frame: nobody is signed in."""
        return self._answer(
            request,
            template,
            {"theme": _theme(request), "zone": zone_of(request), **values},
            status,
        )

    def _answer(
        self, request: Request, template: str, values: Mapping[str, Any], status: int
    ) -> Response:
        text = self._environment.get_template(template).render(values).encode()
        headers = {**HEADERS, "Cache-Control": "no-store", "Vary": "Accept-Encoding"}
        if len(text) >= _PACK_FROM and "gzip" in request.headers.get("accept-encoding", ""):
            text = gzip.compress(text, 5)
            headers["Content-Encoding"] = "gzip"
        return Response(text, status, headers, media_type="text/html; charset=utf-8")


def make_environment(assets: Assets) -> Environment:
    """Return the templates with the words and helpers that they use."""
    environment = Environment(
        loader=PackageLoader("headway_control_plane.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    sprite = files("headway_control_plane.ui").joinpath("templates/sprite.svg").read_text()
    environment.globals.update(
        asset=assets.url,
        sprite=Markup(sprite.replace("\n", "")),  # noqa: S704 - our own file
        icon=_icon,
        plural=words.plural,
        query="",
        here="/",
    )
    environment.filters.update(
        duration=words.duration,
        size=words.size,
        count=words.count,
        short_id=words.short_id,
        state_word=words.state_word,
        clock_time=_clock_time,
        clock_seconds=_clock_seconds,
        full=_full,
        iso=_iso,
        artifact_href=artifact_href,
        deployment_href=deployment_href,
    )
    return environment


def navigation(path: str) -> list[dict[str, Any]]:
    """Return the rail's entries, the one that holds this path marked."""
    return [
        {"name": name, "href": href, "icon": icon, "current": path.startswith(href)}
        for name, href, icon in _NAVIGATION
    ]


def here(request: Request) -> str:
    """Return path and query of this page, for links back to it."""
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


@pass_context
def _clock_time(context: Context, at: datetime) -> str:
    return words.clock_time(at, context["zone"])


@pass_context
def _clock_seconds(context: Context, at: datetime) -> str:
    return words.clock_time(at, context["zone"], milliseconds=False)


@pass_context
def _full(context: Context, at: datetime) -> str:
    return words.full(at, context["zone"])


def _iso(at: datetime) -> str:
    return words.moment(at, at).iso


def _icon(name: str) -> Markup:
    return Markup('<svg class="icon" aria-hidden="true"><use href="#i-{}"/></svg>').format(name)


def _theme(request: Request) -> str:
    wanted = request.cookies.get("headway_theme", "")
    return wanted if wanted in {"light", "dark"} else ""
