"""Waits of a flow: sat out, suspended, answered, and the same wait in the next attempt."""

import hashlib

import pytest

from support.flow_process import Outcome, Project

SLEEPY = """
@task
def before():
    return 1

@flow
def main(seconds: float = 0.0, suspend_after: float = 60.0):
    made = before()
    sleep(seconds, suspend_after=suspend_after)
    return made + 1
"""
ASKING = """
from dataclasses import dataclass

@dataclass
class Decision:
    approve: bool
    comment: str = ""

@task
def figures():
    return 42

@flow
def main():
    made = figures()
    decision = wait_for_input(Decision, title="Publish?", name="approve")
    return [made, decision.approve, decision.comment]
"""


def waits(outcome: Outcome) -> list[dict]:
    assert outcome.outcome == "suspended", outcome.ended
    return outcome.ended["waits"]


def answer(call: str, value: object) -> dict:
    return {"answers": [{"call": call, "over": False, "value": value}]}


def over(call: str) -> dict:
    return {"answers": [{"call": call, "over": True}]}


NONE = {"answers": []}


def test_a_short_sleep_is_slept_in_the_process(project: Project):
    project.write(SLEEPY)
    outcome = project.run({"seconds": 0.01}, **NONE)
    assert outcome.outcome == "completed"
    assert outcome.outcomes("sleep") == ["completed"]


def test_a_long_sleep_ends_the_attempt_and_is_the_same_in_the_next(project: Project):
    project.write(SLEEPY)
    [wait] = waits(project.run({"seconds": 3600}, **NONE))
    assert (wait["kind"], wait["until_us"] - wait["since_us"]) == ("sleep", 3_600_000_000)
    again = project.run({"seconds": 3600}, **NONE)
    assert waits(again) == [wait]
    assert again.outcomes("before") == ["skipped"]
    last = project.run({"seconds": 3600}, **over(wait["call"]))
    assert last.ended["result"]["data"] == "2"
    [slept] = last.of("call.ended", "sleep")
    assert slept["started_at_us"] == wait["since_us"]
    assert project.run({"seconds": 3600}, **NONE).outcomes() == ["skipped", "skipped"]


def test_a_person_is_asked_by_a_schema_and_answers(project: Project):
    project.write(ASKING)
    [wait] = waits(project.run(**NONE))
    assert wait["request"]["title"] == "Publish?"
    assert "approve" in str(wait["request"]["schema"])
    outcome = project.run(**answer(wait["call"], {"approve": True, "comment": "ok"}))
    assert outcome.ended["result"]["data"] == '[42,true,"ok"]'
    assert outcome.outcomes("figures") == ["skipped"]


def test_an_answer_that_the_hint_does_not_read_is_asked_for_again(project: Project):
    project.write(ASKING)
    [first] = waits(project.run(**NONE))
    wrong = answer(first["call"], {"approve": "perhaps"})["answers"]
    outcome = project.run(answers=wrong)
    [again] = waits(outcome)
    assert (again["call"] != first["call"], again["name"]) == (True, first["name"])
    assert "approve" in " ".join(again["request"]["problems"])
    assert "does not fit, and it is asked again: approve: " in "".join(outcome.logs())

    still = project.run(answers=wrong)
    assert [wait["call"] for wait in waits(still)] == [again["call"]]
    assert not still.logs()

    right = answer(again["call"], {"approve": True, "comment": "ok"})["answers"]
    outcome = project.run(answers=[*wrong, *right])
    assert outcome.ended["result"]["data"] == '[42,true,"ok"]'
    assert outcome.outcomes("figures") == ["skipped"]


def test_a_value_that_no_schema_tells_wrong_is_asked_for_again(project: Project):
    project.write("""
    from datetime import date

    @flow
    def main():
        return wait_for_input(date).isoformat()
    """)
    [first] = waits(project.run(**NONE))
    wrong = answer(first["call"], "2026-02-30")["answers"]
    [again] = waits(project.run(answers=wrong))
    assert again["request"]["problems"][0].startswith("answer: ")
    right = answer(again["call"], "2026-02-28")["answers"]
    assert project.run(answers=[*wrong, *right]).ended["result"]["data"] == '"2026-02-28"'


def test_nobody_answers_in_time(project: Project):
    project.write("""
    @flow
    def main():
        try:
            return wait_for_input(bool, timeout=3600)
        except WaitTimedOut:
            return "nobody"
    """)
    [wait] = waits(project.run(**NONE))
    assert project.run(**over(wait["call"])).ended["result"]["data"] == '"nobody"'


@pytest.mark.parametrize("kind", ["", "async "])
def test_what_was_submitted_ends_before_the_process_does(project: Project, kind: str):
    project.write(f"""
    @task
    def slow(n):
        return n

    @{"flow(task_runner=ThreadRunner(1))" if not kind else "flow"}
    {kind}def main():
        futures = [slow.submit(n) for n in range(5)]
        suspend()
        return sum([{"await " if kind else ""}f{"" if kind else ".result()"} for f in futures])
    """)
    first = project.run(**NONE)
    [wait] = waits(first)
    assert first.outcomes("slow") == ["completed"] * 5
    last = project.run(**answer(wait["call"], None))
    assert last.ended["result"]["data"] == "10"
    assert last.outcomes("slow") == ["skipped"] * 5


def test_two_sub_flows_wait_side_by_side(project: Project):
    project.write("""
    import asyncio

    @task
    def double(n):
        return 2 * n

    @flow
    async def ask(name):
        return double(wait_for_input(int, name=name))

    @flow
    async def main():
        return sum(await asyncio.gather(ask("a"), ask("b")))
    """)
    first = waits(project.run(**NONE))
    assert sorted(wait["name"] for wait in first) == ["a", "b"]
    by_name = {wait["name"]: wait["call"] for wait in first}
    [left] = waits(project.run(**answer(by_name["a"], 1)))
    assert left["name"] == "b"
    last = project.run(**answer(by_name["b"], 2))
    assert last.ended["result"]["data"] == "6"
    assert sorted(last.outcomes("double") + last.outcomes("ask")) == ["completed"] * 2 + ["skipped"]


def test_equal_waits_in_a_row_are_asked_one_by_one(project: Project):
    project.write("""
    @flow
    def main():
        return [wait_for_input(int), wait_for_input(int)]
    """)
    [first] = waits(project.run(**NONE))
    [second] = waits(project.run(**answer(first["call"], 1)))
    assert second["call"] != first["call"]
    assert project.run(**answer(second["call"], 2)).ended["result"]["data"] == "[1,2]"


def test_a_task_does_not_wait(project: Project):
    project.write("""
    @task
    def asks():
        suspend()

    @flow
    def main():
        asks()
    """)
    outcome = project.run(**NONE)
    assert outcome.ended["error"]["class"] == "headway.NotInFlow"


def test_an_agent_that_cannot_suspend_says_what_to_do(project: Project):
    project.write(SLEEPY)
    outcome = project.run({"seconds": 3600})
    assert outcome.outcome == "failed"
    assert "upgrade headway-agent" in outcome.ended["error"]["message"]


CHANGING = """
@task
def step(n):
    return {body}

@task
def last(n):
    return n

@flow(on_code_change="{policy}")
def main():
    made = step.map([1, 2])
    suspend()
    return last(sum(made.result()))
"""


@pytest.mark.parametrize(
    ("policy", "result", "again"), [("trust", "3", 0), ("rerun", "30", 2), ("ask", "30", 2)]
)
def test_code_that_changed_in_between_is_told_and_decided(
    project: Project, policy: str, result: str, again: int
):
    project.write(CHANGING.format(body="n", policy=policy))
    [word] = waits(project.run(**NONE))
    project.write(CHANGING.format(body="n * 10", policy=policy))
    go = {"call": word["call"], "over": False, "value": None}
    outcome = project.run(answers=[go])
    if policy == "ask":
        [question] = waits(outcome)
        assert "step has changed" in question["request"]["title"]
        choice = {"call": question["call"], "over": False, "value": "execute it again"}
        outcome = project.run(answers=[go, choice])
    assert outcome.ended["result"]["data"] == result
    assert outcome.outcomes("step").count("completed") == again
    assert sum("the code of step has changed" in line for line in outcome.logs()) == 1


def test_what_a_person_chose_holds_for_later_attempts(project: Project):
    project.write(CHANGING.format(body="n", policy="ask"))
    [word] = waits(project.run(**NONE))
    project.write(CHANGING.format(body="n * 10", policy="ask"))
    [question] = waits(project.run(**NONE))
    kept = {"call": question["call"], "over": False, "value": "use the kept results"}
    assert waits(project.run(answers=[kept]))[0]["call"] == word["call"]
    last = project.run(**answer(word["call"], None))
    assert last.ended["result"]["data"] == "3"


def test_a_version_stands_for_the_code(project: Project):
    source = CHANGING.replace("@task", '@task(version="1")')
    project.write(source.format(body="n", policy="rerun"))
    [word] = waits(project.run(**NONE))
    project.write(source.format(body="n * 10", policy="rerun"))
    assert project.run(**answer(word["call"], None)).ended["result"]["data"] == "3"


def test_code_that_did_not_change_is_the_same_in_every_process(project: Project):
    body = "n if n in {'a', 'b', 1, 2} else (lambda: n)()"
    project.write(CHANGING.format(body=body, policy="rerun"))
    [word] = waits(project.run(**NONE))
    outcome = project.run(**answer(word["call"], None))
    assert outcome.outcomes("step") == ["skipped"] * 2


def test_an_event_is_known_by_the_digest_of_its_name_and_key(project: Project):
    project.write("""
    @flow
    def main():
        return wait_for_event("file arrived", key="1", kind=dict[str, int])
    """)
    [wait] = waits(project.run(**NONE))
    assert (wait["kind"], wait["name"]) == ("event", "file arrived")
    assert wait["topic"] == hashlib.sha256(b"file arrived" + bytes(1) + b"1").hexdigest()
    assert project.run(**answer(wait["call"], {"a": 1})).ended["result"]["data"] == '{"a":1}'
