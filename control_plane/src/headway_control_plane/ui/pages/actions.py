"""What a person does to a run: each form calls the use case that the REST API calls, and leads back to the run."""

from __future__ import annotations

import json
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.application.answer_run import answer_run
from headway_control_plane.application.cancel_run import cancel_run
from headway_control_plane.application.create_run import RunRequest, create_run
from headway_control_plane.application.errors import InvalidParameters, TooLarge, UseCaseError
from headway_control_plane.application.ports import Cursor
from headway_control_plane.application.release_run import release_run
from headway_control_plane.projections.runs import get_run
from headway_control_plane.projections.waits import RunWaits
from headway_control_plane.ui.pages.run import run_page
from headway_control_plane.ui.pages.site import NoSuchPage, Site, path_id, read_form
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views.fields import NotJson
from headway_control_plane.ui.views.parts import deployment_href
from headway_control_plane.ui.views.questions import Refused, answer_of


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
    form = await read_form(request, viewer)
    run = path_id(request)
    anywhere = form.text("anywhere") == "true"
    done = await release_run(
        site.services.log, viewer.ws, run, actor=viewer.actor, anywhere=anywhere
    )
    return _back(run, "release", done.cursor)


async def answer(site: Site, request: Request, viewer: Viewer) -> Response:
    """Give a suspended run the answer that it asks for; one that does not fit is shown again with what is wrong."""
    form = await read_form(request, viewer)
    run, call = path_id(request), form.text("call")
    waits = RunWaits(site.services.reads, site.services.reader)
    asked = await waits.waits(viewer.ws, run) or ()
    wait = next((each for each in asked if each.call.hex() == call), None)
    if wait is None:
        raise NoSuchPage("The run does not ask this any more.", f"/runs/{run}", "The run")
    try:
        done = await answer_run(
            site.services.log,
            waits,
            viewer.ws,
            run,
            actor=viewer.actor,
            value=answer_of(wait, form.fields),
            call=wait.call,
        )
    except (InvalidParameters, TooLarge) as refusal:
        problems = [f"{each.path}: {each.message}" for each in refusal.problems]
        refused = Refused(call, form.fields, problems or [refusal.message])
        return await run_page(site, request, viewer, refused)
    except NotJson as refusal:
        return await run_page(site, request, viewer, Refused(call, form.fields, [str(refusal)]))
    return _back(run, "input", done.cursor)


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
            hint=f"Fill them in anew: {deployment_href(run.deployment.name)}",
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
