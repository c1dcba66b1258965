"""The page before a resume, retry or rerun: what will execute and what will not. Its form calls the use case of the REST API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.application.errors import InvalidParameters, InvalidRequest, TooLarge
from headway_control_plane.application.fork_run import ForkWish, fork_run, plan_fork
from headway_control_plane.domain.errors import InvalidArgument
from headway_control_plane.domain.fork import Verb
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.forks import ForkSources
from headway_control_plane.projections.runs import get_run
from headway_control_plane.ui.pages.site import PROJECTION, NoSuchPage, Site, path_id, read_form
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views import plan_page as shape
from headway_control_plane.ui.views.fields import NotJson, object_of


async def plan(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show what a verb would do."""
    params = request.query_params
    return await _show(site, request, viewer, params.get("verb", ""), params.get("call", ""))


async def fork(site: Site, request: Request, viewer: Viewer) -> Response:
    """Start the run that the preview showed."""
    form = await read_form(request, viewer)
    run, services = path_id(request), site.services
    verb, call, typed = form.text("verb"), form.text("call"), form.text("parameters")
    try:
        made = await fork_run(
            services.log,
            services.catalogue,
            ForkSources(services.reads, services.reader),
            services.ids,
            viewer.ws,
            run,
            actor=viewer.actor,
            wish=ForkWish(verb, call, object_of("parameters", typed)),
            idempotency_key=form.text("key") or None,
        )
    except (InvalidParameters, InvalidRequest, TooLarge) as refusal:
        problems = [f"{each.path}: {each.message}" for each in refusal.problems]
        return await _show(
            site, request, viewer, verb, call, typed=typed, problems=problems or [refusal.message]
        )
    except NotJson as refusal:
        return await _show(site, request, viewer, verb, call, typed=typed, problems=[str(refusal)])
    return RedirectResponse(
        f"/runs/{made.run}?done=created&at={made.cursor.offset}", status_code=303
    )


async def _show(
    site: Site,
    request: Request,
    viewer: Viewer,
    asked: str,
    call: str,
    *,
    typed: str = "",
    problems: list[str] | None = None,
) -> Response:
    run_id = path_id(request)
    now = site.services.clock.now()
    async with site.services.reads.workspace(viewer.ws) as connection:
        run = await get_run(connection, viewer.ws, run_id, now=now)
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    if run is None or not run.is_terminal:
        raise NoSuchPage(f"There is no run {run_id} that has ended.", "/runs", "Runs")
    sources = ForkSources(site.services.reads, site.services.reader)
    verb = Verb(asked) if asked in set(Verb) else Verb.RESUME
    call = "" if verb is Verb.RESUME else call
    whole = await plan_fork(sources, viewer.ws, run.id, ForkWish(Verb.RESUME))
    chosen = None
    if verb is Verb.RESUME:
        chosen = whole
    elif call:
        try:
            chosen = await plan_fork(sources, viewer.ws, run.id, ForkWish(verb, call))
        except (InvalidRequest, InvalidArgument) as refusal:
            problems = [*(problems or ()), refusal.message]
    step = f" {call[:12]}" if call else ""
    values = {
        "run": run,
        "verb": verb.value,
        "call": call,
        "verbs": shape.verb_choices(verb),
        "calls": shape.call_choices((*whole.executes, *whole.attaches, *whole.keeps), call),
        "lists": shape.lists_of(chosen) if chosen is not None else None,
        "typed": typed,
        "problems": problems or [],
        "key": str(site.services.ids()),
        "command": f"headway runs {verb} {run.id}{step}",
    }
    status = 422 if problems else 200
    return await site.show(request, viewer, "plan.html", values, freshness=freshness, status=status)
