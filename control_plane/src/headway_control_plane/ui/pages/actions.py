"""What a person does to a run: each form calls the use case that the REST API calls, and leads back to the run."""

from __future__ import annotations

import json
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.application.cancel_run import cancel_run
from headway_control_plane.application.create_run import RunRequest, create_run
from headway_control_plane.application.errors import UseCaseError
from headway_control_plane.application.ports import Cursor
from headway_control_plane.application.release_run import release_run
from headway_control_plane.projections.runs import get_run
from headway_control_plane.ui.pages.site import NoSuchPage, Site, path_id, read_form
from headway_control_plane.ui.services import Viewer


class ParametersGone(UseCaseError):
    """The parameters of the old run cannot be read any more."""

    code = "parameters_gone"


async def cancel(site: Site, request: Request, viewer: Viewer) -> Response:
    """Ask for a run's end."""
    await read_form(request, viewer)
    run = path_id(request)
    done = await cancel_run(site.services.log, viewer.ws, run, actor=viewer.actor)
    return _back(run, "cancel" if done.changed else "nothing", done.cursor)


async def release(site: Site, request: Request, viewer: Viewer) -> Response:
    """Let a paused run go on."""
    await read_form(request, viewer)
    run = path_id(request)
    done = await release_run(site.services.log, viewer.ws, run, actor=viewer.actor)
    return _back(run, "release", done.cursor)


async def again(site: Site, request: Request, viewer: Viewer) -> Response:
    """Create a run with the parameters, tags and priority of this one."""
    await read_form(request, viewer)
    services = site.services
    old = path_id(request)
    async with services.reads.workspace(viewer.ws) as connection:
        run = await get_run(connection, viewer.ws, old, now=services.clock.now())
    if run is None:
        raise NoSuchPage(f"There is no run {old} in this workspace.", "/runs", "Runs")
    content = (await services.reader.blobs(viewer.ws, [run.parameters])).get(run.parameters)
    if content is None:
        raise ParametersGone(
            "The parameters of this run were erased.",
            hint=f"Fill them in anew: /deployments/{run.deployment.name}",
        )
    made = await create_run(
        services.log,
        services.catalogue,
        services.ids,
        viewer.ws,
        actor=viewer.actor,
        request=RunRequest(
            deployment=str(run.deployment.id),
            parameters=json.loads(content),
            tags=run.tags,
            priority=run.priority,
        ),
    )
    return _back(made.run, "created", made.cursor)


def _back(run: UUID, done: str, cursor: Cursor) -> Response:
    return RedirectResponse(f"/runs/{run}?done={done}&at={cursor.offset}", status_code=303)
