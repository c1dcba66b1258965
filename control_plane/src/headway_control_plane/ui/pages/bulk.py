"""One thing done to many runs: what it would do is shown first, what it did afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.application.bulk import (
    MOST_RUNS,
    BulkAction,
    Doing,
    Outcome,
    act_on_runs,
)
from headway_control_plane.projections.forks import ForkSources
from headway_control_plane.projections.run_view import RunView, load_runs
from headway_control_plane.ui import words
from headway_control_plane.ui.pages.site import Site, read_form
from headway_control_plane.ui.services import Viewer
from headway_control_plane.ui.views.parts import RunRow, run_row

_VERBS = {BulkAction.CANCEL: "Cancel", BulkAction.RESUME: "Resume"}
_DONE = {BulkAction.CANCEL: "being cancelled", BulkAction.RESUME: "resumed"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A run to which nothing is, or was, done."""

    row: RunRow
    why: str


async def preview(site: Site, request: Request, viewer: Viewer) -> Response:
    """Show what would be done to the runs that the address names."""
    action = _action(request.query_params.get("action", ""))
    ids = _ids(request.query_params.getlist("run"))
    if action is None or not ids:
        return RedirectResponse("/runs", status_code=303)
    now = site.services.clock.now()
    views = await _load(site, viewer, ids)
    meant = [view for view in views if action.applies_to(view.state)]
    values = {
        "action": action,
        "verb": _VERBS[action],
        "title": f"{_VERBS[action]} {words.plural(len(meant), 'run')}?",
        "effect": _effect(action),
        "states": sorted(Counter(str(view.state) for view in meant).items()),
        "rows": [run_row(view, now) for view in meant],
        "refused": [
            Refusal(run_row(view, now), _why_not(action, view))
            for view in views
            if view not in meant
        ],
        "key": str(site.services.ids()),
        "done": "",
    }
    return await site.show(request, viewer, "bulk.html", values)


async def perform(site: Site, request: Request, viewer: Viewer) -> Response:
    """Do it, and show what became of each run."""
    form = await read_form(request, viewer)
    action = _action(form.text("action"))
    ids = _ids(form.all("run"))
    if action is None or not ids:
        return RedirectResponse("/runs", status_code=303)
    services = site.services
    doing = Doing(
        services.log,
        services.catalogue,
        ForkSources(services.reads, services.reader),
        services.ids,
        viewer.ws,
        viewer.actor,
        key=form.text("key") or None,
    )
    outcomes = await act_on_runs(doing, action, ids)
    now = services.clock.now()
    shown = [outcome.made or outcome.run for outcome in outcomes if not outcome.code]
    why = {outcome.run: outcome.message for outcome in outcomes if outcome.code}
    accepted = await _load(site, viewer, shown)
    refused = await _load(site, viewer, list(why))
    values = {
        "action": action,
        "title": f"{words.plural(len(shown), 'run')} {_DONE[action]}",
        "rows": [run_row(view, now) for view in accepted],
        "refused": [Refusal(run_row(view, now), why[view.id]) for view in refused],
        "done": _done_words(action, outcomes),
    }
    return await site.show(request, viewer, "bulk.html", values)


async def _load(site: Site, viewer: Viewer, ids: Sequence[UUID]) -> list[RunView]:
    async with site.services.reads.workspace(viewer.ws) as connection:
        return await load_runs(connection, viewer.ws, ids, now=site.services.clock.now())


def _action(text: str) -> BulkAction | None:
    return BulkAction(text) if text in set(BulkAction) else None


def _ids(texts: Sequence[str]) -> list[UUID]:
    found: dict[UUID, None] = {}
    for text in texts[:MOST_RUNS]:
        try:
            found[UUID(text)] = None
        except ValueError:
            continue  # what is no id names no run
    return list(found)


def _effect(action: BulkAction) -> str:
    if action is BulkAction.CANCEL:
        return (
            "Those that wait are cancelled at once; those that work are told to end, and made to."
        )
    return "Of each a new run is made that executes only what has no result yet; these stay as they are."


def _why_not(action: BulkAction, view: RunView) -> str:
    if action is BulkAction.CANCEL:
        return "it has ended"
    return "it has completed" if view.is_terminal else "it has not ended"


def _done_words(action: BulkAction, outcomes: Sequence[Outcome]) -> str:
    refused = sum(bool(outcome.code) for outcome in outcomes)
    if not refused:
        return f"All {words.plural(len(outcomes), 'run')} {_DONE[action]}."
    return f"{len(outcomes) - refused} of {words.plural(len(outcomes), 'run')} {_DONE[action]}; {refused} refused."
