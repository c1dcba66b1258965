"""Runs of other deployments in tests of flows: the test says what they come to."""

from datetime import UTC, datetime, timedelta

import pytest

from headway import (
    ChildRunFailed,
    RunRefused,
    flow,
    run_deployment,
    sleep,
    submit_deployment,
    wait_for_input,
)
from headway.testing import HarnessError, harness

START = datetime(2026, 3, 1, tzinfo=UTC)


@flow
def total(days: int) -> int:
    parts = [submit_deployment(f"day-{day}", {"day": day}) for day in range(days)]
    return sum(part.result().result() for part in parts)


@flow
def careful() -> str:
    try:
        return str(run_deployment("part", raise_on_failure=True).result())
    except ChildRunFailed as error:
        return error.error_class


def test_the_test_says_what_they_return():
    with harness() as h:
        run = h.run(total, days=2)
        assert [wait["kind"] for wait in run.waits] == ["run", "run"]
        assert run.again(answers={"day-0": 3, "day-1": 4}).result() == 7
        asked = [event["run"] for event in run.events if event["type"] == "run.requested"]
        assert len(set(asked)) == len(asked) == 2


def test_they_are_there_from_the_beginning_or_fail():
    with harness() as h:
        assert h.run(careful, answers={"part": "fine"}).result() == "fine"
        assert h.run(careful, answers={"part": ValueError("no")}).result() == "ValueError"


@flow
def part(n: int) -> int:
    doubled.append(n)
    return n * 2


@flow
def doubling(count: int) -> list[int]:
    parts = [submit_deployment("part", {"n": n}) for n in range(count)]
    return [each.result().result() for each in parts]


doubled: list[int] = []


def test_flows_that_the_test_names_are_executed():
    doubled.clear()
    with harness(deployments={"part": part}) as h:
        run = h.run(doubling, count=3)
        assert run.result() == [0, 2, 4]
        assert doubled == [0, 1, 2]
        assert [child.state for child in run.children] == ["completed"] * 3
        asked = [event["run"] for event in run.events if event["type"] == "run.requested"]
        assert [child.id for child in run.children] == asked


def test_each_is_executed_once_wherever_the_parent_crashes():
    with harness(deployments={"part": part}) as h:
        doubled.clear()
        for times, run in enumerate(h.crashes(doubling, count=2), 2):
            assert run.result() == [0, 2]
            assert sorted(doubled) == [0] * times + [1] * times  # the flow was run whole before


@flow
def lasting(action: str) -> str:
    if action == "sleep":
        sleep(3600)
    elif action == "ask":
        return wait_for_input(str, name="word")
    elif action == "fail":
        raise ValueError("no")
    return "done"


@flow
def starting(action: str = "", timeout: float | None = None, later: float = 0) -> str:
    when = START + timedelta(seconds=later) if later else None
    child = run_deployment(
        "lasting", {"action": action} if action else {}, timeout=timeout, scheduled_time=when
    )
    return child.result() if child.is_completed else child.state


def test_what_becomes_of_them():
    with harness(deployments={"lasting": lasting}) as h:
        assert h.run(starting, action="sleep").result() == "done"
        assert h.run(starting, action="fail").result() == "failed"
        assert h.run(starting, action="sleep", timeout=60).result() == "unfinished"
        assert h.run(starting, action="now", timeout=0).result() == "unfinished"
        assert h.run(starting, action="ask", answers={"word": "yes"}).result() == "yes"
        assert isinstance(h.run(starting).error, RunRefused)  # a parameter is missing
        assert h.run(starting, action="now", answers={"lasting": "told"}).result() == "told"


def test_one_that_asks_a_person_holds_its_parent_up():
    with harness(deployments={"lasting": lasting}) as h:
        run = h.run(starting, action="ask")
        assert run.state == "suspended"
        [child] = run.children
        child.answer("word", "yes")
        assert run.again().result() == "yes"


def test_they_begin_when_they_are_due():
    with harness(now=START, deployments={"lasting": lasting}, jump=False) as h:
        run = h.run(starting, action="now", later=60)
        assert (run.state, run.children) == ("suspended", [])
        h.clock.advance(60)
        assert run.again().result() == "done"
    with harness(now=START, deployments={"lasting": lasting}) as h:
        assert h.run(starting, action="now", later=60).result() == "done"
        assert h.clock.now() == START + timedelta(seconds=60)


def test_a_flow_that_starts_itself_without_end_is_told():
    @flow
    def endless() -> None:
        run_deployment("endless")

    with (
        harness(deployments={"endless": endless}) as h,
        pytest.raises(HarnessError, match="20 runs stand above"),
    ):
        h.run(endless)


@flow
def refused() -> str:
    try:
        return run_deployment("part").state
    except RunRefused as error:
        return error.code


def test_they_are_refused():
    no = RunRefused("part", "not_found", "There is no such deployment.", "Deploy it.")
    with harness() as h:
        run = h.run(refused, answers={"part": no})
        assert run.result() == "not_found"
        [end] = [e for e in run.events if e["type"] == "call.ended" and e["kind"] == "wait"]
        assert (end["outcome"], end["error"]["class"]) == ("failed", "headway.RunRefused")
        assert "Deploy it." in end["error"]["message"]


def test_a_call_that_failed_has_one_outcome_in_all_attempts():
    with harness() as h:
        run = h.run(careful).answer("part", ValueError("no"), crash_after="part")
        assert run.again().result() == "ValueError"
        ends = [e for each in run.attempts for e in each.events if e["type"] == "call.ended"]
        assert [end["outcome"] for end in ends] == ["failed", "failed"]
