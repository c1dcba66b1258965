"""The harness crashes runs, answers them and lets their time go by."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from headway import (
    Cancelled,
    WaitTimedOut,
    flow,
    sleep,
    sleep_until,
    suspend,
    wait_for_input,
)
from headway.testing import Harness, HarnessError, harness
from support.summing import add, double, sums


@pytest.fixture
def h():
    with harness() as made:
        yield made


@dataclass
class Decision:
    approve: bool
    comment: str = ""


@flow
def asking(timeout: float | None = None) -> str:
    made = double(21)
    try:
        decision = wait_for_input(Decision, name="approve", timeout=timeout)
    except WaitTimedOut:
        return "nobody"
    return f"{made} {decision.approve} {decision.comment}"


@pytest.mark.parametrize("place", [1, 2, 5, "double", "add"])
def test_after_a_crash_the_next_attempt_goes_on(h: Harness, place: int | str):
    run = h.run(sums, n=3, crash_after=place)
    assert run.state == "crashed"
    with pytest.raises(HarnessError, match=r"run.again\(\)"):
        run.result()
    before = [call for call in run.calls if call.state == "completed"]
    assert run.again().result() == 6
    skipped = [call for call in run.calls if call.state == "skipped"]
    assert {c.key for c in skipped} == {c.key for c in before}
    assert run.executions("add") == 1


def test_a_flow_is_crashed_everywhere(h: Harness):
    runs = list(h.crashes(sums, n=2))
    assert len(runs) == h.run(sums, n=2).facts
    assert {run.result() for run in runs} == {2}
    assert all(run.attempts[0].state == "crashed" for run in runs)


def test_a_crash_that_never_comes_is_an_error(h: Harness):
    with pytest.raises(HarnessError, match="did not crash after 99"):
        h.run(sums, crash_after=99)
    with pytest.raises(HarnessError, match="did not crash after 'laod'"):
        h.run(sums, crash_after="laod")


def test_after_a_crash_nothing_is_executed_or_told(h: Harness):
    seen = []

    @flow
    def main():
        try:
            double(1)
        finally:
            try:
                add(1)
            except Cancelled:
                seen.append("refused")

    run = h.run(main, crash_after="double")
    assert (run.state, seen) == ("crashed", ["refused"])
    assert [call.name for call in run.calls] == ["double"]


def test_a_question_is_answered(h: Harness):
    run = h.run(asking)
    assert run.state == "suspended"
    assert run.waits[0]["request"]["schema"]["required"] == ["approve"]
    with pytest.raises(HarnessError, match=r"run.answer\(name, value\)"):
        run.result()
    with pytest.raises(HarnessError, match="it waits for: 'approve'"):
        run.answer("approved", True)
    assert run.answer("approve", {"approve": True, "comment": "ok"}).result() == "42 True ok"
    assert run.executions("double") == 1
    assert h.run(asking, answers={"approve": Decision(False)}).result() == "42 False "


def test_a_wrong_answer_is_the_tests_mistake(h: Harness):
    with pytest.raises(HarnessError, match="'approve' does not fit, and a run would ask again: "):
        h.run(asking, answers={"approve": {"approve": "perhaps"}})
    run = h.run(asking)
    with pytest.raises(HarnessError, match="does not fit"):
        run.answer("approve", 3)
    assert run.answer("approve", Decision(False)).result() == "42 False "


def test_nobody_answers(h: Harness):
    assert h.run(asking, timeout=3600).expire("approve").result() == "nobody"
    run = h.run(asking, timeout=3600)
    h.clock.advance(timedelta(hours=1))
    assert run.again().result() == "nobody"
    early = h.run(asking, timeout=3600)
    h.clock.advance(3599)
    assert early.again().state == "suspended"


def test_a_suspension_is_crashed_out_of(h: Harness):
    @flow
    def main():
        double(1)
        suspend()
        return add(1, 2)

    run = h.run(main).answer("go on", crash_after=1)
    assert run.state == "crashed"
    assert run.again().result() == 3
    assert {r.result() for r in h.crashes(main, answers={"go on": None})} == {3}


def test_sleeps_go_by_themselves_or_wait_for_the_clock():
    @flow
    def main():
        sleep(30)
        sleep(7200)
        sleep_until(datetime(2026, 1, 2, tzinfo=UTC))
        return "up"

    with harness() as h:
        assert h.run(main).result() == "up"
        assert h.clock.now() == datetime(2026, 1, 2, tzinfo=UTC)
    with harness(jump=False, now=datetime(2026, 1, 1, 12, tzinfo=UTC)) as h:
        run = h.run(main)
        assert run.state == "suspended"
        assert h.clock.now() == datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
        assert run.again().state == "suspended"
        h.clock.advance(7200)
        assert run.again().waits[0]["kind"] == "sleep"
        h.clock.advance(timedelta(hours=10))
        assert run.again().result() == "up"
