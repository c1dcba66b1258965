"""Runs that calls have asked for, on the rows of the picture and among the facts."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections.children import ChildRun
from headway_control_plane.ui.views.axis import make_axis
from headway_control_plane.ui.views.children import (
    CHILDREN_SHOWN,
    child_facts,
    child_words,
    waiting_lanes,
)
from headway_control_plane.ui.views.until import Until

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
AXIS = make_axis(START, START + timedelta(seconds=100))
UNTIL = Until(START + timedelta(seconds=100))


def child(number: int = 1, **values) -> ChildRun:
    told = {
        "call": bytes([number]) * 16, "deployment": "part", "requested_at": START, "refused": "",
        "run": UUID(int=number), "state": RunStatus.RUNNING, "ended_at": None, "is_new": True,
    }  # fmt: skip
    return ChildRun(**(told | values))


def lanes(*children: ChildRun, drawn=(), over: bool = True):
    found = {each.call: each for each in children}
    return waiting_lanes(found, set(drawn), AXIS, UNTIL, over=over)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "run 0000…0001 running"),
        ({"run": None, "state": None, "refused": "not_found"}, "no run: not found"),
        ({"run": None, "state": None}, "its run is not made yet"),
    ],
)
def test_it_says_what_became_of_the_wish(values, words):
    assert child_words(child(**values)) == words


def test_a_run_whose_call_has_no_row_has_one_of_its_own():
    [lane] = lanes(child(), child(2), drawn=[child(2).call])
    assert (lane.label, lane.state, lane.href) == ("part", "running", f"/runs/{UUID(int=1)}")
    assert len(lane.shapes) == 1


def test_among_very_many_calls_only_those_that_go_on_are_drawn():
    ended = child(2, state=RunStatus.COMPLETED, ended_at=START + timedelta(seconds=5))
    refused = child(3, run=None, state=None, refused="nested_too_deeply")
    assert [lane.href for lane in lanes(child(), ended, refused, over=False)] == [
        f"/runs/{UUID(int=1)}"
    ]
    assert [lane.state for lane in lanes(ended, refused)] == ["completed", "failed"]


def test_the_newest_come_first_and_lead_to_all():
    many = {bytes([n]): child(n) for n in range(1, CHILDREN_SHOWN + 2)}
    facts = child_facts("a-run", many)
    assert len(facts) == CHILDREN_SHOWN + 1
    assert facts[0].href == f"/runs/{UUID(int=CHILDREN_SHOWN + 1)}"
    assert facts[-1].href == "/runs?q=parent%3Aa-run"
    withheld = child_facts("a-run", {b"": child(deployment="")})
    assert withheld[0].text.startswith("(name withheld): run")
