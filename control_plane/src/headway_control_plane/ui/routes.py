"""All routes of the UI, for the composition root to serve beside the REST API."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from headway_control_plane.ui.assets import PREFIX, Assets
from headway_control_plane.ui.live import LiveHub, live_stream
from headway_control_plane.ui.pages import (
    actions,
    agents,
    artifacts,
    bulk,
    deployments,
    events,
    login,
    plan,
    run,
    runs,
    search,
    subflow,
    time_zone,
    variables,
)
from headway_control_plane.ui.pages.site import PageHandler, Site, problem_of
from headway_control_plane.ui.rendering import Renderer
from headway_control_plane.ui.services import Services, Viewer

_PAGES: Sequence[tuple[str, str, PageHandler]] = (
    ("GET", "/runs", runs.runs_page),
    ("GET", "/runs/bulk", bulk.preview),
    ("POST", "/runs/bulk", bulk.perform),
    ("GET", "/runs/{id}", run.run_page),
    ("GET", "/runs/{id}/flows/{call}", subflow.subflow_page),
    ("POST", "/runs/{id}/cancel", actions.cancel),
    ("POST", "/runs/{id}/release", actions.release),
    ("POST", "/runs/{id}/input", actions.answer),
    ("POST", "/runs/{id}/again", actions.again),
    ("GET", "/runs/{id}/plan", plan.plan),
    ("POST", "/runs/{id}/fork", plan.fork),
    ("GET", "/deployments", deployments.deployments_page),
    ("GET", "/deployments/{name}", deployments.deployment_page),
    ("POST", "/deployments/{name}/run", deployments.run_deployment),
    ("GET", "/agents", agents.agents_page),
    ("GET", "/artifacts", artifacts.artifacts_page),
    ("GET", "/artifacts/{key}", artifacts.artifact_page),
    ("GET", "/ui/runs/{id}/artifacts/{artifact}", artifacts.image),
    ("GET", "/variables", variables.variables_page),
    ("POST", "/variables", variables.set_one),
    ("POST", "/variables/unset", variables.unset_one),
    ("GET", "/time-zone", time_zone.zone_page),
    ("POST", "/time-zone", time_zone.choose_zone),
    ("GET", "/events", events.events_page),
    ("GET", "/search", search.search_page),
    ("GET", "/ui/runs/{id}/log", run.log_fragment),
    ("GET", "/ui/runs/{id}/flows/{call}/log", subflow.log_fragment),
)


def routes(services: Services) -> list[BaseRoute]:
    """Return the UI's routes. Everything lies at fixed paths under `/`; `/ui/` holds files and streams."""
    assets = Assets()
    site = Site(services, Renderer(services, assets))
    hub = LiveHub(services.reader)

    async def live(site: Site, request: Request, viewer: Viewer) -> Response:
        return await live_stream(site, hub, request, viewer)

    async def home(_: Request) -> Response:
        return RedirectResponse("/runs", status_code=303)

    async def files(request: Request) -> Response:
        return assets.respond(request)

    async def login_page(request: Request) -> Response:
        return await login.login_page(site, request)

    async def post_login(request: Request) -> Response:
        try:
            return await login.login(site, request)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            return Response(problem.text, problem.status)

    pages = [
        Route(path, site.guarded(handler), methods=[method]) for method, path, handler in _PAGES
    ]
    return [
        Route("/", home),
        Route("/login", login_page, methods=["GET"]),
        Route("/login", post_login, methods=["POST"]),
        Route("/ui/live", site.guarded(live)),
        Route(PREFIX + "{version}/{name}", files),
        *pages,
    ]
