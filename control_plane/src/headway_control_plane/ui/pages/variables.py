"""Variables: what runs are given beside their parameters, who set it, and the form that sets it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.application.errors import InvalidRequest, TooLarge
from headway_control_plane.application.variables import set_variable, unset_variable
from headway_control_plane.domain.errors import Refused
from headway_control_plane.projections import checkpoints, variables
from headway_control_plane.projections.variables import Change, VariableView
from headway_control_plane.ui.pages.site import PROJECTION, Site, number_of, read_form
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views.parts import link
from headway_control_plane.ui.words import Moment, moment

PAGE = 100
CHANGES = 30
MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class VariableRow:
    """A variable as a line; `edit` fills the form with it."""

    name: str
    value: str
    erased: bool
    tags: str
    version: int
    set_at: Moment
    edit: str
    history: str


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One change, as a line of the history."""

    name: str
    what: str
    value: str
    is_value: bool
    actor: str
    href: str | None
    at: Moment


async def variables_page(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show the variables; `name` fills the form and narrows the history."""
    return await _show(site, request, viewer)


async def set_one(site: Site, request: Request, viewer: Viewer) -> Response:
    """Set the variable of the form; what is refused is shown again with what was typed."""
    form = await read_form(request, viewer)
    try:
        version = int(form.text("version")) if form.text("version").isdigit() else None
        await set_variable(
            site.services.log,
            viewer.ws,
            actor=viewer.actor,
            name=form.text("name").strip(),
            value=_value(form.text("value")),
            tags=form.text("tags").split(),
            if_version=version,
        )
    except (InvalidRequest, TooLarge) as refusal:
        problems = [f"{each.path}: {each.message}" for each in refusal.problems]
        return await _show(site, request, viewer, form.fields, problems or [refusal.message])
    except Refused as refusal:
        return await _show(site, request, viewer, form.fields, [refusal.message])
    return RedirectResponse("/variables?done=set", status_code=303)


async def unset_one(site: Site, request: Request, viewer: Viewer) -> Response:
    """Take the variable of the form away."""
    form = await read_form(request, viewer)
    await unset_variable(site.services.log, viewer.ws, actor=viewer.actor, name=form.text("name"))
    return RedirectResponse("/variables?done=unset", status_code=303)


def _value(text: str) -> object:
    """As `headway variables set` reads it: JSON, or a string where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


async def _show(
    site: Site,
    request: Request,
    viewer: Viewer,
    posted: Mapping[str, str] | None = None,
    problems: Sequence[str] = (),
) -> Response:
    now = site.services.clock.now()
    name = request.query_params.get("name", "").replace("\x00", "")[:MOST_SHOWN]
    async with site.services.reads.workspace(viewer.ws) as connection:
        page = await variables.list_variables(
            connection, viewer.ws, cursor=request.query_params.get("after"), limit=PAGE
        )
        chosen = await variables.get_variable(connection, viewer.ws, name) if name else None
        version = await variables.version_of(connection, viewer.ws)
        freshness = await checkpoints.freshness(connection, viewer.ws, PROJECTION)
    changes = await variables.history(
        site.services.reader, viewer.ws, version, name=name or None, limit=CHANGES
    )
    values = {
        "rows": [_row(view, now) for view in page.items],
        "changes": [_change(change, now) for change in changes],
        "typed": dict(posted) if posted is not None else _typed(chosen),
        "chosen": name,
        "problems": list(problems),
        "done": request.query_params.get("done", ""),
        "next": link("/variables", {"after": page.next}) if page.next else None,
        "at": number_of(request, "at"),
    }
    status = 422 if problems else 200
    return await site.show(
        request, viewer, "variables.html", values, freshness=freshness, status=status
    )


def _typed(view: VariableView | None) -> dict[str, str]:
    if view is None:
        return {}
    text = "" if view.erased else json.dumps(view.value, indent=2, ensure_ascii=False)
    return {
        "name": view.name,
        "value": text,
        "tags": " ".join(view.tags),
        "version": str(view.version),
    }


def _row(view: VariableView, now: datetime) -> VariableRow:
    return VariableRow(
        name=view.name,
        value=_short(json.dumps(view.value, ensure_ascii=False)),
        erased=view.erased,
        tags=" ".join(view.tags),
        version=view.version,
        set_at=moment(view.set_at, now),
        edit=link("/variables", {"name": view.name}) + "#set",
        history=link("/variables", {"name": view.name}) + "#history",
    )


_DONE = {"set": "set to", "unset": "unset", "refused": "refused:"}


def _change(change: Change, now: datetime) -> ChangeRow:
    erased = "(erased)" if change.kind == "set" else ""
    value = change.reason or (change.value if change.value is not None else erased)
    run = change.actor.removeprefix("run/")
    return ChangeRow(
        name=change.name,
        what=_DONE[change.kind],
        value=_short(value),
        is_value=change.kind == "set",
        actor=change.actor,
        href=f"/runs/{run}" if run != change.actor else None,
        at=moment(change.at, now),
    )


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} …"
