import json

from headway_agent.core import lines
from headway_agent.core.lines import (
    Acked,
    Have,
    Holding,
    Lines,
    Lost,
    Record,
    Restored,
    Sent,
    Welcomed,
    plan,
    step,
)
from headway_agent.loops.log_loop import MOST_LINES, contiguous
from headway_agent.runner.api import Line

A, B = ("a", 1), ("b", 1)


def holding(*known: tuple[tuple[str, int], int]) -> Holding:
    return Holding(tuple(Have(attempt, last, 0) for attempt, last in known))


def opened(*known: tuple[tuple[str, int], int], permitted: bool = True) -> Lines:
    state, _ = step(Lines(), holding(*known))
    return step(state, Welcomed(permitted, {}))[0]


def test_one_batch_an_attempt_and_the_shortest_backlog_first() -> None:
    state = opened((A, 9), (B, 3))
    assert [w.attempt for w in plan(state)] == [B, A]
    state, _ = step(state, Sent(B, 3, 100))
    assert [w.attempt for w in plan(state)] == [A]
    assert lines.bytes_in_flight(state) == 100
    state, effects = step(state, Acked(B, 3))
    assert effects == (Record(B, 3),)
    assert lines.bytes_in_flight(state) == 0


def test_an_answer_decides_where_to_go_on() -> None:
    state, _ = step(opened((A, 9)), Sent(A, 9, 100))
    state, _ = step(state, Acked(A, 4))
    assert plan(state)[0].after == 4
    state, _ = step(state, Lost())
    assert plan(state) == ()
    state, _ = step(state, Welcomed(permitted=True, stored={A: 6}))
    assert plan(state)[0].after == 6


def test_what_a_lost_answer_would_have_said_is_recorded_from_welcome() -> None:
    state, _ = step(Lines(), holding((A, 4)))
    state, effects = step(state, Welcomed(permitted=True, stored={A: 4}))
    assert effects == (Record(A, 4),)
    assert step(state, Welcomed(permitted=True, stored={A: 4}))[1] == ()


def test_lines_that_stay_with_the_customer_never_wait() -> None:
    state, _ = step(Lines(), holding((A, 9)))
    state, effects = step(state, Welcomed(permitted=False, stored={}))
    assert effects == (Record(A, 9),)
    assert plan(state) == ()
    state, effects = step(state, holding((A, 12)))
    assert effects == (Record(A, 12),)


def test_far_too_many_lines_are_skipped() -> None:
    (want,) = plan(opened((A, lines.MOST_WAITING + 1)))
    assert want.skip_to == lines.MOST_WAITING + 1 - lines.KEPT


def test_missing_lines_get_a_marker_and_a_batch_covers_a_limited_range() -> None:
    content, last = contiguous(
        [Line(3, b'{"line":3}'), Line(4, b'{"line":4}'), Line(7, b'{"line":7}')], 0
    )
    found = [json.loads(line) for line in content.splitlines()]
    assert [line["line"] for line in found] == [1, 3, 4, 5, 7]
    assert found[0]["gap"] == {"from": 1, "to": 2, "count": 2}
    assert last == 7
    content, last = contiguous([Line(50_000, b"{}")], 10)
    assert last == 10 + MOST_LINES
    assert json.loads(content)["gap"]["count"] == MOST_LINES
    assert contiguous([], 5) == (b"", 5)


def test_a_restored_log_says_how_many_lines_it_still_has() -> None:
    state, _ = step(step(opened((A, 9)), Sent(A, 9, 100))[0], Acked(A, 9))
    state, _ = step(step(state, Lost())[0], Restored())
    assert plan(state) == ()
    state, effects = step(state, Welcomed(permitted=True, stored={A: 4}))
    assert effects == (Record(A, 4),)
    assert plan(state)[0].after == 4
