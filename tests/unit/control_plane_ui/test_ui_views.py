"""What pages show, from plain values: rows of the timeline, axis, form fields, search words."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from headway_control_plane.projections.task_fold import Retry
from headway_control_plane.projections.tasks import Bin, Task, TaskGroup
from headway_control_plane.ui.views.axis import make_axis, percent
from headway_control_plane.ui.views.fields import NotJson, fields_of, values_of
from headway_control_plane.ui.views.lanes import (
    MAX_UNFOLDED,
    WITHHELD,
    bin_tasks,
    group_lane,
    lanes_of_tasks,
)
from headway_control_plane.ui.views.timeline import attempt_state, call_shapes
from headway_control_plane.ui.views.until import Until

START = datetime(2026, 11, 22, 16, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


AXIS = make_axis(START, after(100))


def task(name: str, begin: float = 0, end: float | None = 10, *, number: int = 0, parent: bytes = b"", kind: str = "task", status: str = "completed", retries=()) -> Task:  # fmt: skip
    return Task(
        call=f"{name}/{number}/{parent.hex()}".encode(), parent=parent, kind=kind, name=name, status=status, first_offset=1,
        started_at=after(begin), ended_at=None if end is None else after(end), tries=1, retries=tuple(retries),
        error_class="", error_text=b"", result=None,
    )  # fmt: skip


def lanes(*tasks: Task, unfolded=frozenset(), attempt_ended=None):
    until = Until(after(100), attempt_ended)
    return lanes_of_tasks(tasks, AXIS, until, base="/runs/x?attempt=1", unfolded=unfolded)


# Rows -------------------------------------------------------------------------------------------


def test_few_calls_of_a_name_have_a_row_each():
    assert [lane.label for lane in lanes(task("a"), task("a", number=1), task("b"))] == [
        "a",
        "a",
        "b",
    ]


def test_a_paused_call_is_drawn_up_to_its_suspension_and_waits_from_there():
    [lane] = lanes(task("ask", 10, None, status="paused"), attempt_ended=after(30))
    assert (lane.state, lane.icon) == ("paused", "paused")
    assert lane.note == "20.0 s · suspended with its run"
    worked, waited = lane.shapes
    assert (worked.css, worked.title) == ("bar is-paused", "paused 20.0 s")
    assert (waited.css, waited.title) == ("wait", "waited with its run 1 m 10 s")


def test_a_row_of_many_says_how_most_of_them_stand():
    def state(*statuses: str) -> str:
        calls = [task("a", number=n, status=status) for n, status in enumerate(statuses)]
        [lane] = lanes(*calls)
        return lane.state

    assert state("completed", "completed", "paused", "paused") == "paused"
    assert state("interrupted", "paused", "failed", "running") == "failed"
    assert state("cancelled", "completed", "completed", "completed") == "cancelled"
    assert state("skipped", "skipped", "skipped", "skipped") == "skipped"


def test_many_calls_of_a_name_share_a_row():
    [lane] = lanes(*(task("a", n, n + 5, number=n) for n in range(12)))
    assert lane.members == 12
    assert lane.area is not None
    assert "12 ✓" in lane.note
    assert "p50 5.0 s" in lane.note


def test_what_was_not_executed_does_not_make_a_row_quicker():
    """A call that was kept took no time: it says nothing of how long one takes."""
    kept = [task("a", 0, 0, number=n, status="skipped") for n in range(20)]
    [lane] = lanes(*kept)
    assert lane.note == "20 ✓"
    [mixed] = lanes(*kept, task("a", 0, 5, number=20))
    assert "p50 5.0 s" in mixed.note


def test_a_group_unfolds_within_bounds():
    many = [task("a", number=n) for n in range(MAX_UNFOLDED + 50)]
    [folded] = lanes(*many)
    opened = lanes(*many, unfolded=frozenset({folded.key}))
    assert len(opened) == 1 + MAX_UNFOLDED
    assert opened[1].depth == 1


def test_what_a_sub_flow_calls_lies_below_it():
    flow = task("publish", kind="flow")
    found = lanes(task("first"), flow, task("upload", parent=flow.call), task("last"))
    assert [(lane.label, lane.depth) for lane in found] == [
        ("first", 0),
        ("publish", 0),
        ("upload", 1),
        ("last", 0),
    ]


def test_the_same_name_below_different_flows_is_one_row_below_each_path():
    flows = [task("sub", kind="flow", number=n) for n in range(5)]
    inner = [task("load", parent=flow.call) for flow in flows]
    found = lanes(*flows, *inner)
    assert [(lane.label, lane.members, lane.depth) for lane in found] == [
        ("sub", 5, 0),
        ("load", 5, 1),
    ]


def test_calls_that_name_themselves_as_parent_do_not_loop():
    odd = Task(b"x", b"x", "task", "odd", "running", 1, START, None, 1, (), "", b"", None)
    assert [lane.label for lane in lanes(odd)] == ["odd"]


def test_a_withheld_name_says_so():
    assert lanes(task(""))[0].label == WITHHELD


def test_a_failed_group_is_marked_where_calls_failed():
    calls = [
        task("a", n, n + 5, number=n, status="failed" if n == 3 else "completed") for n in range(9)
    ]
    [lane] = lanes(*calls)
    assert lane.state == "failed"
    assert len(lane.area.failures) == 1


# Shapes -----------------------------------------------------------------------------------------


def test_a_retry_is_drawn_with_the_wait_between():
    shapes = call_shapes(AXIS, START, after(30), "completed", [(after(5), 10_000_000, "OSError")])
    assert [shape.css for shape in shapes] == ["bar is-failed", "wait", "bar is-completed"]
    assert "OSError" in shapes[0].title


def test_a_call_that_waits_to_retry_shows_no_work():
    shapes = call_shapes(AXIS, START, after(8), "retrying", [(after(5), 10_000_000, "OSError")])
    assert [shape.css for shape in shapes] == ["bar is-failed", "wait"]


def test_nothing_is_too_short_to_see_or_beyond_the_picture():
    for begin, end in ((100.0, 100.0), (0.0, 0.0), (-50.0, 500.0)):
        [shape] = call_shapes(AXIS, after(begin), after(end), "completed", [])
        left, width = float(shape.x[:-1]), float(shape.width[:-1])
        assert width >= 0.3
        assert 0 <= left <= left + width <= 100.01


def test_an_area_shows_how_many_ran_at_once():
    group = TaskGroup(b"", "task", "a", 3, 0, 3, 0, 0, 0, 0, 0, 0, START, after(10), None, None)
    lane = group_lane(group, [Bin(0, 2, 0, 0), Bin(5, 1, 1, 0), Bin(9, 0, 2, 0)], 10, "k", "")
    # Two from the start, three in the column where one more began, two until the end.
    assert lane.area.path == "M0 16H0V5.333H5V0H6V5.333H10V16Z"


def test_bins_hold_every_call():
    calls = [task("a", n / 10, n / 10 + 3, number=n) for n in range(500)]
    found = bin_tasks(calls, AXIS, after(100), columns=50)
    assert sum(each.began for each in found) == sum(each.ended for each in found) == 500


def test_retries_of_open_calls_are_counted():
    [lane] = lanes(
        task("a", end=None, status="retrying", retries=[Retry(1, after(1), 5_000_000, "OSError")])
    )
    assert "1 retry" in lane.note


# Axis -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 0.001, 0.7, 3, 59, 61, 600, 7200, 90_000, 4_000_000])
def test_an_axis_has_a_few_round_labels(seconds):
    axis = make_axis(START, after(seconds))
    assert 1 <= len(axis.ticks()) <= 8
    assert axis.head()
    labels = [tick for tick in axis.ticks() if tick.label]
    assert all(float(tick.x.rstrip("%")) <= 90 for tick in labels)
    assert 1 <= len([tick for tick in labels if not tick.css]) <= 2


def test_places_are_percent():
    assert percent(AXIS.place(START)) == "0%"
    assert AXIS.place(after(-5)) == 0
    assert AXIS.place(after(1000)) == 100
    assert percent(12.3456) == "12.35%"


# Forms ------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "$defs": {"Where": {"enum": ["eu", "us"]}},
    "properties": {
        "region": {"$ref": "#/$defs/Where"},
        "days": {"type": "integer", "default": 7},
        "note": {"type": "string"},
        "dry": {"type": "boolean"},
        "tables": {"type": "array"},
    },
    "required": ["region"],
}


def test_a_schema_becomes_fields():
    found = {field.label: field for field in fields_of(SCHEMA, {"dry": True})}
    assert [field.kind for field in found.values()] == [
        "choice",
        "number",
        "text",
        "checkbox",
        "json",
    ]
    assert found["region"].choices == ("eu", "us")
    assert (found["region"].required, found["days"].value, found["dry"].value) == (
        True,
        "7",
        "true",
    )


def test_what_was_posted_comes_back_as_it_was_typed():
    found = {
        field.label: field for field in fields_of(SCHEMA, {}, {"p.days": "many", "p.tables": "[1,"})
    }
    assert (found["days"].value, found["tables"].value, found["dry"].value) == ("many", "[1,", "")


def test_posted_texts_become_values():
    posted = {"p.region": "us", "p.days": "3", "p.note": "", "p.dry": "true", "p.tables": '["a"]'}
    assert values_of(SCHEMA, posted) == {"region": "us", "days": 3, "dry": True, "tables": ["a"]}


def test_what_is_no_json_is_named():
    with pytest.raises(NotJson, match="tables"):
        values_of(SCHEMA, {"p.region": "us", "p.tables": "orders"})


def test_a_schema_without_properties_has_no_fields():
    assert fields_of({}, {}) == []
    assert fields_of({"properties": []}, {}) == []


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [("completed", "completed"), ("suspended", "paused"), ("lost", "crashed")],
)
def test_an_attempt_bears_the_sign_of_how_it_ended(outcome, shown):
    ended = SimpleNamespace(ended_at=after(1), started_at=after(0), outcome=outcome)
    assert attempt_state(ended) == shown
