"""What a run made from another executes and keeps, over every shape of what an attempt can have left."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headway_control_plane.domain.errors import InvalidArgument, InvalidState
from headway_control_plane.domain.fork import CallFacts, Calls, Verb, plan
from headway_control_plane.domain.run.asked import AskedRun

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def call(name: str, began: float, status: str = "completed", parent: str = "", lasts: float = 1):
    return CallFacts(
        call=name.encode(),
        parent=parent.encode(),
        name=name,
        kind="task",
        status=status,
        kept=status in {"completed", "skipped"},
        executed=status != "skipped",
        began=at(began),
        ended=at(began + lasts),
    )


def line(*attempts: list[CallFacts]) -> Calls:
    calls = Calls()
    for attempt in attempts:
        calls.add(attempt)
    return calls


def names(calls: tuple[CallFacts, ...]) -> str:
    return " ".join(each.name for each in calls)


def told(calls: Calls, verb: Verb, name: str = "") -> tuple[str, str, str]:
    found = plan(calls, verb, name.encode())
    return names(found.executes), names(found.may), names(found.keeps)


STRAIGHT = [call("a", 0), call("b", 2), call("c", 4, "failed")]
NESTED = [
    call("a", 0),
    call("sub", 2, lasts=5),
    call("s1", 2, parent="sub"),
    call("s2", 4, parent="sub"),
    call("z", 8),
]


@pytest.mark.parametrize(
    ("verb", "name", "expected"),
    [
        (Verb.RESUME, "", ("c", "", "a b")),
        (Verb.RETRY, "a", ("a c", "b", "")),
        (Verb.RETRY, "b", ("b c", "", "a")),
        (Verb.RETRY, "c", ("c", "", "a b")),
        (Verb.RERUN, "a", ("a b c", "", "")),
        (Verb.RERUN, "b", ("b c", "", "a")),
        (Verb.RERUN, "c", ("c", "", "a b")),
    ],
)
def test_a_straight_run(verb, name, expected):
    assert told(line(STRAIGHT), verb, name) == expected


@pytest.mark.parametrize(
    ("verb", "name", "expected"),
    [
        (Verb.RESUME, "", ("", "", "a s1 sub s2 z")),
        (Verb.RETRY, "s1", ("s1 sub", "s2 z", "a")),
        (Verb.RETRY, "sub", ("s1 sub s2", "z", "a")),
        (Verb.RERUN, "s2", ("sub s2 z", "", "a s1")),
        (Verb.RERUN, "sub", ("s1 sub s2 z", "", "a")),
    ],
)
def test_what_contains_a_call_executes_with_it_and_what_it_contains_too(verb, name, expected):
    assert told(line(NESTED), verb, name) == expected


def test_what_failed_inside_a_call_that_is_kept_is_not_asked_for():
    calls = line(
        [call("sub", 0), call("caught", 0, "failed", parent="sub"), call("b", 2, "failed")]
    )
    assert told(calls, Verb.RESUME) == ("b", "", "sub")


def test_results_of_earlier_attempts_count_and_begin_when_they_were_made():
    calls = line(
        [call("a", 0), call("b", 2), call("c", 4, "failed")],
        [
            call("a", 100, "skipped"),
            call("b", 101, "skipped"),
            call("c", 102),
            call("d", 104, "failed"),
        ],
    )
    assert told(calls, Verb.RESUME) == ("d", "", "a b c")
    assert told(calls, Verb.RERUN, "b") == ("b c d", "", "a")


def test_what_was_executed_again_counts_from_its_first_result():
    calls = line([call("a", 0), call("b", 2)], [call("a", 100), call("b", 101, "skipped")])
    assert told(calls, Verb.RERUN, "a")[0] == "b a"
    assert told(calls, Verb.RETRY, "a") == ("a", "b", "")


def test_a_cut_of_the_line_holds_for_those_after_it():
    calls = line([call("a", 0), call("b", 2)])
    calls.cut(plan(calls, Verb.RETRY, b"a").cut)
    assert told(calls, Verb.RESUME) == ("a", "", "b")
    calls.add([call("a", 50)])
    assert told(calls, Verb.RESUME) == ("", "", "b a")


def test_a_result_that_was_not_kept_is_made_again():
    calls = Calls()
    lost = call("a", 0)
    calls.add([CallFacts(**{f: getattr(lost, f) for f in lost.__slots__} | {"kept": False})])
    assert told(calls, Verb.RESUME) == ("a", "", "")


def test_calls_that_are_not_there_and_times_that_are_withheld():
    with pytest.raises(InvalidArgument):
        plan(line(STRAIGHT), Verb.RETRY, b"nobody")
    timeless = CallFacts(
        b"a", b"", "a", "task", "completed", True, True, datetime(1970, 1, 1, tzinfo=UTC), None
    )
    with pytest.raises(InvalidState, match="withholds"):
        plan(line([timeless]), Verb.RERUN, b"a")
    assert told(line([timeless]), Verb.RETRY, "a") == ("a", "", "")


def test_calls_around_each_other_end_somewhere():
    calls = line([call("a", 0, parent="b"), call("b", 0, parent="a")])
    assert told(calls, Verb.RETRY, "a")[0] == "a b"


HOME = UUID(int=1)


def asked(name: str, run: int = 7, status: str = "running", **more) -> AskedRun:
    plain = {"deployment": "part", "parameters": b"", "requested_at": at(1), "refused": ""}
    plain |= {"is_abandoned": False, "agent": HOME, "parent": UUID(int=100)} | more
    return AskedRun(call=name.encode(), run=UUID(int=run), status=status, **plain)


def family(*wishes: AskedRun, moved: bool = False) -> Calls:
    calls = line(
        [call("a", 0), call("sub", 2, "interrupted"), call("k", 3, "interrupted", parent="sub")]
    )
    calls.home = HOME
    calls.ask(wishes, moved=moved)
    return calls


def attached(calls: Calls, verb: Verb, name: str = "") -> tuple[str, str]:
    found = plan(calls, verb, name.encode())
    return names(found.attaches), names(found.executes)


@pytest.mark.parametrize("status", ["", "scheduled", "pending", "running", "paused", "completed"])
def test_a_run_that_is_there_is_taken_unless_its_call_is_cut(status):
    calls = family(asked("k", status=status))
    assert attached(calls, Verb.RESUME) == ("k", "sub")
    assert attached(calls, Verb.RETRY, "a") == ("k", "a sub")
    assert attached(calls, Verb.RETRY, "k") == ("", "sub k")
    assert attached(calls, Verb.RETRY, "sub") == ("", "sub k")
    assert attached(calls, Verb.RERUN, "k") == ("", "sub k")
    assert attached(calls, Verb.RERUN, "a") == ("", "a sub k")


@pytest.mark.parametrize(
    "lost",
    [
        *({"status": status} for status in ("failed", "crashed", "cancelled", "cancelling")),
        {"status": "", "refused": "not_found"},
        {"is_abandoned": True},
    ],
)
def test_a_run_that_ended_badly_is_asked_for_anew(lost):
    calls = family(asked("k", **lost))
    assert attached(calls, Verb.RESUME) == ("", "sub k")
    note = plan(calls, Verb.RESUME).note(b"k")
    assert note.endswith(
        lost.get("status") or (lost.get("refused", "") and "refused") or "cancelling"
    )


def test_what_another_of_its_parents_gave_up_is_not_taken():
    calls = family(asked("k"))
    calls.ask([asked("k", parent=UUID(int=101), is_abandoned=True)])
    assert attached(calls, Verb.RESUME) == ("", "sub k")


def test_a_cut_of_the_line_takes_the_asked_run_out():
    calls = family(asked("k", status="completed"))
    calls.cut(plan(calls, Verb.RETRY, b"k").cut)
    assert attached(calls, Verb.RESUME) == ("", "sub k")
    calls.ask([asked("k", 8)])
    assert attached(calls, Verb.RESUME) == ("k", "sub")
    assert plan(calls, Verb.RESUME).runs[b"k"].run == UUID(int=8)


def test_a_call_that_told_nothing_but_its_wish_is_known_by_it():
    assert attached(family(asked("late")), Verb.RESUME) == ("part", "sub k")
    assert attached(family(asked("late"), moved=True), Verb.RESUME) == ("", "sub k")


def test_the_preview_says_where_a_result_cannot_be_read():
    calls = family(asked("k", status="completed", agent=UUID(int=2)))
    assert "store of results" in plan(calls, Verb.RESUME).note(b"k")
    assert "store" not in plan(family(asked("k", status="completed")), Verb.RESUME).note(b"k")


def test_a_call_with_a_result_is_kept_whatever_became_of_its_run():
    calls = line([call("k", 0)])
    calls.ask([asked("k", status="failed")])
    assert attached(calls, Verb.RESUME) == ("", "")
