"""When a step of a declared graph is executed, by what came of the steps before it."""

import threading

import pytest

from headway import InvalidGraph, dag_flow, task
from headway.graph_execution import Seen, decide
from headway.testing import Harness, harness


@pytest.fixture
def h():
    with harness() as made:
        yield made


@task
def work(name: str) -> str:
    if name.startswith("bad"):
        raise ValueError(name)
    return name


@task
def told(*given: object) -> str:
    return " ".join(map(str, given))


def outcome(h: Harness, trigger: str, *names: str) -> object:
    """What a step with this trigger gave, behind steps that succeed or, called bad, fail."""
    with dag_flow("main") as dag:
        above = [dag.step(work, name, step_name=name) for name in names]
        dag.step(told, *above, step_name="last", trigger=trigger)  # type: ignore[arg-type]
    run = h.run(dag.flow)
    return run.result()["last"] if run.error is None else repr(run.error)


@pytest.mark.parametrize(
    ("trigger", "names", "expected"),
    [
        ("one_success", ("a", "b"), "a b"),
        ("one_success", ("a", "bad"), "a bad"),
        ("one_success", ("bad 1", "bad 2"), "ValueError('bad 1')"),
        ("one_failed", ("a", "b"), None),
        ("one_failed", ("a", "bad"), "a bad"),
        ("all_failed", ("bad 1", "bad 2"), "bad 1 bad 2"),
        ("all_failed", ("a", "b"), None),
        ("all_done", ("a", "bad"), "a bad"),
    ],
)
def test_what_comes_of_a_step(
    h: Harness, trigger: str, names: tuple[str, ...], expected: str | None
):
    assert outcome(h, trigger, *names) == expected


def test_a_failure_that_no_step_took_up_fails_the_flow(h: Harness):
    """The step behind it waited for all to fail, and was passed over."""
    assert outcome(h, "all_failed", "a", "bad") == "ValueError('bad')"


def test_what_waits_for_a_step_that_was_passed_over_is_passed_over_too(h: Harness):
    with dag_flow("main") as dag:
        good = dag.step(work, "good", step_name="good")
        alert = dag.step(told, step_name="alert", trigger="one_failed")
        behind = dag.step(told, alert, step_name="behind")
        finish = dag.step(told, alert, behind, step_name="finish", trigger="all_done")
        good >> alert
        behind >> finish
    run = h.run(dag.flow)
    assert run.result() == {"finish": "None None"}
    assert [call.name for call in run.calls] == ["good", "finish"]


def test_one_success_does_not_wait_for_the_rest(h: Harness):
    gone_on = threading.Event()

    @task
    def slow() -> bool:
        return gone_on.wait(30)

    @task
    def go_on() -> None:
        gone_on.set()

    with dag_flow("main") as dag:
        first = dag.step(work, "first")
        late = dag.step(slow)
        after = dag.step(go_on, trigger="one_success")
        [first, late] >> after
    assert h.run(dag.flow).result() == {"go_on": None}
    assert gone_on.is_set()


def test_a_step_that_goes_by_others_needs_some():
    with (
        pytest.raises(InvalidGraph, match="waits for none: give it an arrow"),
        dag_flow("main") as dag,
    ):
        dag.step(work, "a", trigger="one_failed")


@pytest.mark.parametrize(
    ("trigger", "seen", "verdict"),
    [
        ("one_success", {"open", "failed"}, "not yet"),
        ("one_success", {"passed over"}, "pass over"),
        ("one_failed", {"open", "succeeded"}, "not yet"),
        ("one_failed", {"succeeded", "passed over"}, "pass over"),
        ("all_failed", {"open", "failed"}, "not yet"),
        ("all_failed", {"open", "succeeded"}, "pass over"),
        ("all_failed", {"failed", "passed over"}, "pass over"),
        ("all_success", {"succeeded", "passed over"}, "pass over"),
        ("all_done", {"passed over"}, "execute"),
    ],
)
def test_the_table_of_triggers(trigger: str, seen: set[Seen], verdict: str):
    assert decide(trigger, seen) == verdict
