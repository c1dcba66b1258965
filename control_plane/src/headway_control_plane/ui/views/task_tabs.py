"""The parts of a list of calls, by how they stand."""

from __future__ import annotations

from headway_control_plane.projections.tasks import TaskCounts, TaskGroup
from headway_control_plane.ui import words
from headway_control_plane.ui.views.parts import Tab

FLOWS = "flows"
TASK_TABS = {
    "": ("All", None),
    "failed": ("Failed", ["failed"]),
    "interrupted": ("Interrupted", ["interrupted"]),
    "open": ("Running", ["running", "retrying"]),
    "paused": ("Paused", ["paused"]),
    "completed": ("Completed", ["completed", "skipped"]),
    "cancelled": ("Cancelled", ["cancelled"]),
    FLOWS: ("Sub-flows", None),
}


def task_tabs(
    base: str, counts: TaskCounts, current: str, *, capped: bool = False, flows: bool = True
) -> list[Tab]:
    """Return the parts that hold any calls. `base`: the page's address, with its query; `capped`: there are more than were counted;
    `flows`: whether sub-flows are a part.
    """
    numbers = {
        "": counts.total,
        "failed": counts.failed,
        "interrupted": counts.interrupted,
        "open": counts.open,
        "paused": counts.paused,
        "completed": counts.done,
        "cancelled": counts.cancelled,
    }
    return [
        Tab(
            name,
            f"{base}&status={key}#tasks",
            words.count(numbers[key]) + ("+" if capped else "") if key in numbers else "",
            current=key == current,
        )
        for key, (name, _) in TASK_TABS.items()
        if not key or numbers.get(key, flows)
    ]


def notable(group: TaskGroup) -> str:
    """Which part of the list a group's row leads to: the calls that did not go well, if there are any."""
    return "failed" if group.failed else "interrupted" if group.interrupted else ""
