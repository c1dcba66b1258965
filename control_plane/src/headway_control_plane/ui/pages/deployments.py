"""Deployments: which fail, what runs when; and one of them, with the form that runs it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.application.create_run import RunRequest, create_run
from headway_control_plane.application.errors import InvalidParameters, InvalidRequest, TooLarge
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.deployments import (
    DeploymentView,
    get_deployment,
    list_deployments,
)
from headway_control_plane.projections.overview import RecentResult, recent_results
from headway_control_plane.projections.run_filters import RunFilter
from headway_control_plane.projections.runs import list_runs
from headway_control_plane.ui import words
from headway_control_plane.ui.pages.site import PROJECTION, NoSuchPage, Site, read_form
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views.fields import NotJson, fields_of, object_of, values_of
from headway_control_plane.ui.views.parts import Fact, compact, deployment_href, link, run_row
from headway_control_plane.ui.words import Moment, duration, moment

PAGE = 40
RUNS_ON_PAGE = 10


@dataclass(frozen=True, slots=True)
class Result:
    """One of the newest runs, as a sign that leads there."""

    href: str
    state: str
    title: str
    ended: Moment | None


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A deployment as a line of the list."""

    name: str
    href: str
    flow: str
    pool: str
    results: tuple[Result, ...]
    rate: str
    typical: str
    deployed: Moment


def _row(view: DeploymentView, recent: Sequence[RecentResult], now: datetime) -> DeploymentRow:
    ended = [result for result in recent if result.ended_at is not None]
    good = sum(result.state == "completed" for result in ended)
    lengths = sorted(result.duration for result in ended if result.duration is not None)
    return DeploymentRow(
        name=view.name,
        href=deployment_href(view.name),
        flow=view.flow,
        pool=view.pool_name,
        results=tuple(_result(result, now) for result in recent),
        rate=f"{good} of {len(ended)}" if ended else "",
        typical=duration(lengths[len(lengths) // 2]) if lengths else "",
        deployed=moment(view.deployed_at, now),
    )


def _result(result: RecentResult, now: datetime) -> Result:
    took = f", {duration(result.duration)}" if result.duration else ""
    ended = moment(result.ended_at, now) if result.ended_at else None
    return Result(
        f"/runs/{result.run}", result.state, f"{words.state_word(result.state)}{took}", ended
    )


async def deployments_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """List deployments by name."""
    now = site.services.clock.now()
    async with site.services.reads.workspace(viewer.ws) as connection:
        page = await list_deployments(
            connection, viewer.ws, cursor=request.query_params.get("after"), limit=PAGE
        )
        recent = await recent_results(connection, viewer.ws, [view.id for view in page.items])
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    values = {
        "rows": [_row(view, recent.get(view.id, []), now) for view in page.items],
        "next": link("/deployments", {"after": page.next}) if page.next else None,
        "live": "deployments",
    }
    return await site.show(request, viewer, "deployments.html", values, freshness=freshness)


async def deployment_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show one deployment."""
    return await _show(site, request, viewer)


async def run_deployment(site: Site, request: Request, viewer: Viewer) -> Response:
    """Create a run from the posted form; a refusal shows the form again with what was typed and what is wrong."""
    form = await read_form(request, viewer)
    name = request.path_params["name"]
    async with site.services.reads.workspace(viewer.ws) as connection:
        view = await get_deployment(connection, viewer.ws, name)
    if view is None:
        raise _absent(name)
    try:
        wanted = RunRequest(
            deployment=str(view.id),
            parameters=_parameters(view, form.fields),
            name=form.text("name"),
            tags=form.text("tags").split(),
            priority=int(form.text("priority") or "3") if form.text("priority").isdigit() else 3,
        )
        made = await create_run(
            site.services.log, site.services.catalogue, site.services.ids, viewer.ws,
            actor=viewer.actor, request=wanted, idempotency_key=form.text("key") or None,
        )  # fmt: skip
    except (InvalidParameters, InvalidRequest, TooLarge) as refusal:
        problems = [f"{each.path}: {each.message}" for each in refusal.problems]
        return await _show(site, request, viewer, form.fields, problems or [refusal.message])
    except NotJson as refusal:
        return await _show(site, request, viewer, form.fields, [str(refusal)])
    return RedirectResponse(
        f"/runs/{made.run}?done=created&at={made.cursor.offset}", status_code=303
    )


def _parameters(view: DeploymentView, posted: Mapping[str, str]) -> dict[str, Any]:
    schema = view.parameter_schema or {}
    if "parameters" not in posted:
        return values_of(schema, posted)
    return object_of("parameters", posted["parameters"])


async def _show(
    site: Site,
    request: Request,
    viewer: Viewer,
    posted: Mapping[str, str] | None = None,
    problems: Sequence[str] = (),
) -> Response:
    now = site.services.clock.now()
    name = request.path_params["name"]
    async with site.services.reads.workspace(viewer.ws) as connection:
        view = await get_deployment(connection, viewer.ws, name)
        if view is None:
            raise _absent(name)
        wanted = RunFilter(deployment=view.id)
        runs = await list_runs(connection, viewer.ws, wanted, now=now, limit=RUNS_ON_PAGE)
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    schema, defaults = view.parameter_schema or {}, view.defaults or {}
    fields = fields_of(schema, defaults, posted)
    values = {
        "deployment": view,
        "facts": _facts(view, now),
        "rows": [run_row(run, now) for run in runs.items],
        "kept": [],
        "all_runs": link("/runs", {"q": f"deployment:{view.name}"}),
        "fields": fields,
        "as_json": "" if fields else _json_text(defaults, posted),
        "typed": dict(posted or {}),
        "problems": list(problems),
        "command": _command(view, defaults),
        "key": str(site.services.ids()),
        "live": "runs",
    }
    return await site.show(
        request,
        viewer,
        "deployment.html",
        values,
        freshness=freshness,
        status=422 if problems else 200,
    )


def _json_text(defaults: Mapping[str, Any], posted: Mapping[str, str] | None) -> str:
    if posted is not None:
        return posted.get("parameters", "")
    return json.dumps(dict(defaults), indent=2, ensure_ascii=False)


def _command(view: DeploymentView, defaults: Mapping[str, Any]) -> str:
    """Return the command that does what the form does, with a gap for each parameter that must be given."""
    schema = view.parameter_schema or {}
    required = [name for name in schema.get("required", ()) if name not in defaults]
    gaps = [f"-p {shlex.quote(name)}=..." for name in required]
    given = [
        f"-p {shlex.quote(f'{name}={value if isinstance(value, str) else json.dumps(value)}')}"
        for name, value in list(defaults.items())[:5]
    ]
    return " ".join(["headway run", view.name, *gaps, *given])


def _facts(view: DeploymentView, now: datetime) -> list[Fact]:
    retries = f"{view.retries}, {view.retry_delay_ms / 1000:g} s apart" if view.retries else "none"
    return compact(
        [
            Fact("flow", view.flow),
            Fact("version", view.flow_version),
            Fact("pool", view.pool_name, href="/agents#pools"),
            Fact("entry point", view.entrypoint, mono=True),
            Fact("environment", view.environment),
            Fact("code", view.code_hash[:12], mono=True, copy=view.code_hash),
            Fact("deployed", "", at=moment(view.deployed_at, now)),
            Fact("retries", retries),
            Fact("when its agent is lost", view.on_lost),
            Fact("processes", _processes(view)),
            Fact("tags", " ".join(view.tags)),
        ]
    )


def _processes(view: DeploymentView) -> str:
    if view.isolation is None:
        return "one a run"
    return f"reused, for at most {view.max_runs_per_process:,} runs or {view.max_memory_mb:,} MiB"


def _absent(name: str) -> NoSuchPage:
    return NoSuchPage(
        f"There is no deployment {name!r} in this workspace.", "/deployments", "Deployments"
    )
