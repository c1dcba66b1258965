"""The REST API as one application."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from typing_extensions import override

from headway_control_plane.http_api import docs, problems
from headway_control_plane.http_api.guard import Guard
from headway_control_plane.http_api.routes_bulk import router as bulk
from headway_control_plane.http_api.routes_deployments import router as deployments
from headway_control_plane.http_api.routes_events import router as events
from headway_control_plane.http_api.routes_outputs import router as outputs
from headway_control_plane.http_api.routes_pools import router as pools
from headway_control_plane.http_api.routes_run_forks import router as run_forks
from headway_control_plane.http_api.routes_run_lists import router as run_lists
from headway_control_plane.http_api.routes_run_parts import router as run_parts
from headway_control_plane.http_api.routes_runs import router as runs
from headway_control_plane.http_api.routes_signals import router as signals
from headway_control_plane.http_api.routes_subflows import router as subflows
from headway_control_plane.http_api.routes_system import router as system
from headway_control_plane.http_api.routes_variables import router as variables
from headway_control_plane.http_api.services import Services
from headway_control_plane.http_api.sse import StreamPlaces

_DESCRIPTION = """
Everything that the UI and the command line do, they do through this API.

* **Authentication**: `Authorization: Bearer headway_key_...`. A key is of one workspace; paths carry none.
* **Lists** are paged by key: `next` and `previous` go into `cursor`. Instants are ISO 8601 in UTC.
* **Writes** answer with the header `Headway-Cursor`. A later read with `min_offset` set to it holds what was written.
* **Errors** are problem details (RFC 9457) with a `hint`: the next step. What is another workspace's is not there (404).
"""
_TAGS = [
    {"name": "runs", "description": "Executions of flows."},
    {"name": "artifacts and metrics", "description": "What runs leave beside their results."},
    {"name": "deployments", "description": "What can be run, where and with which parameters."},
    {"name": "pools and agents", "description": "Who executes runs, in your own network."},
    {"name": "events", "description": "The log: gapless, in order, resumable from any cursor."},
    {"name": "keys", "description": "API keys of the workspace."},
    {"name": "server", "description": "The server itself."},
]


class _Application(FastAPI):
    @override
    def openapi(self) -> dict[str, Any]:
        return docs.describe(self)


def create_app(services: Services) -> FastAPI:
    """Make the application. Others may mount theirs beside it: the guard stands before all of them."""
    app = _Application(
        title="Headway",
        version=version("headway-control-plane"),
        description=_DESCRIPTION,
        openapi_url=f"{docs.PREFIX}/openapi.json",
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.stream_places = StreamPlaces(services.options.streams_of_workspace)
    app.add_middleware(Guard, services=services)
    problems.install(app)
    docs.install(app)
    api = APIRouter(prefix=docs.PREFIX)
    for router in (
        run_lists,
        bulk,
        runs,
        run_parts,
        subflows,
        run_forks,
        outputs,
        signals,
        events,
        deployments,
        pools,
        variables,
        system,
    ):
        api.include_router(router)
    app.include_router(api)
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}-{route.name}".replace(" ", "-").replace("_", "-")
