"""Runs of other deployments in tests of flows: the test says what they come to."""

from headway import ChildRunFailed, flow, run_deployment, submit_deployment
from headway.testing import harness


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
