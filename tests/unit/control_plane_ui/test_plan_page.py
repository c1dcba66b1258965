"""What a resume would execute, as lines: calls of one name that follow each other are one."""

from datetime import UTC, datetime

from headway_control_plane.domain.fork import CallFacts, Plan
from headway_control_plane.domain.run.state import Fork
from headway_control_plane.ui.views.plan_page import SHOWN, PlannedList, lists_of

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)


def kept(*names: str) -> PlannedList:
    calls = [
        CallFacts(b"", b"", name, "task", "completed", kept=True, executed=True, began=BEGAN, ended=BEGAN)
        for name in names
    ]  # fmt: skip
    parts = {"executes": (), "attaches": (), "may": (), "keeps": tuple(calls)}
    cut = Fork("resume", b"", (), None)
    [told] = lists_of(Plan(cut, **parts, runs={}, taken=frozenset(), home=None))
    return told


def test_calls_that_follow_each_other_are_one_line():
    told = kept(*["load"] * 3, "clean", "load")
    assert told.rows == [
        ("load", "completed", 3),
        ("clean", "completed", 1),
        ("load", "completed", 1),
    ]
    assert told.title.startswith("5 steps are kept")
    assert told.more == 0


def test_what_is_not_shown_is_counted():
    told = kept(*(f"{n % 2}" for n in range(SHOWN + 7)))
    assert (len(told.rows), told.more) == (SHOWN, 7)
