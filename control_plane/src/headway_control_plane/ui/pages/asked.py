"""What of a run the address of its page asks for."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from headway_control_plane.projections.logs import LEVELS, LogFilter
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.ui.pages.site import number_of
from headway_control_plane.ui.views.task_tabs import TASK_TABS
from headway_control_plane.ui.views.zoom import Window, read_window
from headway_control_plane.ui.zones import Zone, zone_of


@dataclass(frozen=True, slots=True)
class Asked:
    """`within`: the offset of a range whose calls are asked for, from the `calls_after`th on; 0: none. `window`: the part of
    the run's time that the timeline shows; None: all of it.
    """

    fence: int
    status: str
    tasks_after: int
    task: str
    level: str
    text: str
    line: int
    unfolded: frozenset[str]
    within: int
    calls_after: int
    zone: Zone
    window: Window | None

    def log_filter(self) -> LogFilter | None:
        if not (self.level or self.text or self.task):
            return None
        calls = frozenset({self.task}) if self.task else None
        return LogFilter(self.level or None, self.text or None, calls)


def read_asked(request: Request, run: RunView) -> Asked:
    """Read the address; what makes no sense counts as absent."""
    params = request.query_params
    fence = number_of(request, "attempt", run.fence)
    status = params.get("status", "")
    level = params.get("level", "").upper()
    return Asked(
        fence=min(max(fence, 1), max(run.fence, 1)),
        status=status if status in TASK_TABS else "",
        tasks_after=number_of(request, "tasks_after"),
        task=params.get("task", "")[:64],
        level=level if level in LEVELS else "",
        text=params.get("q", "")[:200],
        line=number_of(request, "line"),
        unfolded=frozenset(params.getlist("open")[:20]),
        within=number_of(request, "range"),
        calls_after=number_of(request, "calls_after"),
        zone=zone_of(request),
        window=read_window(params.get("from", ""), params.get("to", "")),
    )
