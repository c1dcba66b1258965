"""Pauses: the flow asks, keeps its process, and looks at the file where the agent puts the answer."""

import json
from pathlib import Path

import pytest

from headway import NotInRun, pause
from headway.testing import Harness
from support.flow_process import FlowProcess, Outcome, Project

ASKING = """
@task
def figures():
    return 42

@flow
def main(timeout: float = 600.0):
    made = figures()
    try:
        return [made, pause(bool, title="Publish?", name="approve", timeout=timeout)]
    except WaitTimedOut:
        return "nobody"
"""
KNOWS = {"answers": [], "knows": ["runs", "pauses"]}


def asked(process: FlowProcess, before: str = "") -> dict:
    """The question that is told, or the one behind the call `before`."""
    return process.seen(lambda f: f["type"] == "wait.started" and f["wait"]["call"] != before)[
        "wait"
    ]


def put(run_dir: Path, *answers: dict) -> None:
    fresh = run_dir / "answers.new"
    fresh.write_text(json.dumps(answers))
    fresh.replace(run_dir / "answers.json")


def answer(call: str, value: object) -> dict:
    return {"call": call, "over": False, "value": value}


def data(outcome: Outcome) -> object:
    assert outcome.outcome == "completed", outcome.ended
    return json.loads(outcome.ended["result"]["data"])


def test_it_asks_and_goes_on_with_the_answer(project: Project):
    project.write(ASKING)
    process = project.start(**KNOWS)
    wait = asked(process)
    assert (wait["kind"], wait["name"], wait["request"]["title"]) == (
        "input",
        "approve",
        "Publish?",
    )
    assert wait["until_us"] - wait["since_us"] == 600_000_000
    put(project.runs / "1", answer("0" * 32, 1))  # another's
    put(project.runs / "1", answer("0" * 32, 1), answer(wait["call"], True))
    outcome = process.finish()
    assert data(outcome) == [42, True]
    [ended] = outcome.of("call.ended", "approve")
    assert (ended["call"], ended["started_at_us"]) == (wait["call"], wait["since_us"])


def test_the_next_attempt_asks_the_same_or_has_the_answer(project: Project):
    project.write(ASKING)
    process = project.start(**KNOWS)
    wait = asked(process)
    process.process.kill()
    project.keep(process.frames)
    process.finish()

    again = project.start(**KNOWS)
    assert asked(again) == wait
    again.process.kill()
    project.keep(again.frames)
    again.finish()

    outcome = project.run(answers=[answer(wait["call"], False)], knows=["pauses"])
    assert data(outcome) == [42, False]
    assert not outcome.of("wait.started")
    assert outcome.outcomes("figures") == ["skipped"]


def test_nobody_answers_while_it_waits(project: Project):
    project.write(ASKING)
    assert data(project.run({"timeout": 0.01}, **KNOWS)) == "nobody"


@pytest.mark.parametrize("kind", ["", "async "])
def test_a_cancel_ends_it(project: Project, kind: str):
    project.write(f"""
    @flow
    {kind}def main():
        pause()
    """)
    process = project.start(**KNOWS)
    asked(process)
    process.cancel()
    assert process.finish().outcome == "cancelled"


def test_an_answer_of_another_type_is_asked_for_again_by_the_same_process(project: Project):
    project.write(ASKING)
    process = project.start(**KNOWS)
    first = asked(process)
    put(project.runs / "1", answer(first["call"], "perhaps"))
    again = asked(process, before=first["call"])
    assert again["request"]["problems"]
    put(project.runs / "1", answer(again["call"], True))
    assert data(process.finish()) == [42, True]


def test_an_agent_that_brings_no_answers_gets_a_suspended_flow(project: Project):
    project.write(ASKING)
    outcome = project.run(answers=[], knows=["runs"])
    [wait] = outcome.ended["waits"]
    assert (outcome.outcome, wait["name"]) == ("suspended", "approve")


def test_tasks_do_not_pause(project: Project):
    project.write("""
    @task
    def asks():
        return pause(bool)

    @flow
    def main():
        return asks()
    """)
    assert project.run(**KNOWS).ended["error"]["class"] == "headway.NotInFlow"


def test_outside_a_run_nobody_could_answer():
    with pytest.raises(NotInRun, match="pause"):
        pause(bool)


def test_in_memory_it_is_answered_like_an_input():
    from headway import flow

    @flow
    def main() -> int:
        return pause(int, name="count") + 1

    assert Harness().run(main, answers={"count": 2}).result() == 3
    waiting = Harness().run(main)
    assert "waits for 'count'" in repr(waiting)
    assert waiting.answer("count", 4).result() == 5
