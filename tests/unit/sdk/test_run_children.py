"""Runs of other deployments in the flow's process: asked for once, waited for, read, refused."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from headway import ResultElsewhere
from headway.child_runs import RunRequest
from headway.runtime import asked_runs, child_results
from headway.runtime.child_results import child_id, is_child_id
from headway_agent.connection.wishes import WISHED
from headway_control_plane.domain.run.asked import BY_DIGEST, AskedRun
from support.eventually import eventually
from support.flow_process import FlowProcess, Outcome, Project

RUN = "0199d6a0-0000-7000-8000-00000000000a"
OTHER = "0199d6a0-0000-7000-8000-00000000000b"
KNOWS = {"run": RUN, "answers": [], "knows": ["runs"]}
PARENT = """
@task
def before():
    return 1

@flow
def main(options: dict = {}):
    before()
    child = run_deployment("part", {"n": 3}, **options)
    return [child.state, child.is_final]
"""
MANY = """
@flow
def main(count: int):
    children = [submit_deployment("part", {"n": n}) for n in range(count)]
    return [child.result().state for child in children]
"""


def waits(outcome: Outcome) -> list[dict]:
    assert outcome.outcome == "suspended", (outcome.ended, outcome.err)
    return outcome.ended["waits"]


def answered(*waits: dict, **told) -> dict:
    value = {"name": "calm-owl", "state": "completed", "error_class": "", "fence": 1, **told}
    answers = [
        {"call": wait["call"], "over": False, "value": {"run": wait["run"], **value}}
        for wait in waits
    ]
    return {**KNOWS, "answers": answers}


def value(outcome: Outcome):
    assert outcome.outcome == "completed", (outcome.ended, outcome.err)
    return json.loads(outcome.ended["result"]["data"])


def test_it_asks_once_and_waits(project: Project):
    project.write(PARENT)
    first = project.run(**KNOWS)
    [wait] = waits(first)
    [asked] = first.of("run.requested")
    assert (asked["name"], asked["parameters"], asked["waited"]) == ("part", {"n": 3}, True)
    assert (wait["kind"], wait["run"], wait["call"]) == ("run", asked["run"], asked["call"])
    assert is_child_id(asked["run"], RUN, asked["call"])
    again = project.run(**KNOWS)
    assert (waits(again), again.of("run.requested")) == ([wait], [])
    last = project.run(**answered(wait))
    assert value(last) == ["completed", True]
    assert last.of("run.requested") == []
    assert project.run(**KNOWS).outcomes() == ["skipped", "skipped"]


def test_a_crash_behind_the_wish_asks_for_the_same_run(project: Project):
    """The journal has the wish, and no word of the wait."""
    project.write(PARENT)
    first = project.start(**KNOWS).finish()
    project.keep([frame for frame in first.frames if frame["type"] != "attempt.ended"])
    [wait] = waits(project.run(**KNOWS))
    assert wait["run"] == first.of("run.requested")[0]["run"]


def test_a_run_that_was_made_from_this_one_asks_for_another(project: Project):
    project.write(PARENT)
    [wait] = waits(project.run(**KNOWS))
    made = project.run(**{**KNOWS, "run": OTHER})
    [asked] = made.of("run.requested")
    assert asked["call"] == wait["call"]
    assert asked["run"] != wait["run"]


def test_many_are_waited_for_at_once(project: Project):
    project.write(MANY)
    first = project.run({"count": 600}, **KNOWS)
    found = waits(first)
    assert len(found) == len(first.of("run.requested")) == 600
    assert len({wait["run"] for wait in found}) == 600
    some = project.run({"count": 600}, **answered(*found[:300]))
    assert waits(some) == found[300:]
    assert value(project.run({"count": 600}, **answered(*found[300:]))) == ["completed"] * 600


def test_of_more_than_an_attempt_can_wait_for_the_rest_has_its_turn_later(project: Project):
    project.write("import headway.runtime.waiting as waiting\nwaiting.MOST_RUNS = 10\n" + MANY)
    first = project.run({"count": 13}, **KNOWS)
    found = waits(first)
    assert (len(found), len(first.of("run.requested"))) == (10, 13)
    second = project.run({"count": 13}, **answered(*found[:4]))
    later = waits(second)
    assert (len(later), later[:6], second.of("run.requested")) == (9, found[4:], [])
    assert value(project.run({"count": 13}, **answered(*later))) == ["completed"] * 13


def test_async_code_waits_for_several(project: Project):
    project.write("""
        import asyncio

        @flow
        async def main():
            wanted = [run_deployment_async("part", {"n": n}) for n in range(3)]
            return [child.state for child in await asyncio.gather(*wanted)]
    """)
    found = waits(project.run(**KNOWS))
    assert len(found) == 3
    assert value(project.run(**answered(*found))) == ["completed"] * 3


def test_who_does_not_wait_goes_on(project: Project):
    project.write(PARENT)
    outcome = project.run({"options": {"timeout": 0}}, **KNOWS)
    assert value(outcome) == ["unfinished", False]
    [asked] = outcome.of("run.requested")
    assert asked["waited"] is False
    assert project.run({"options": {"timeout": 0}}, **KNOWS).of("run.requested") == []


def test_time_runs_out(project: Project):
    project.write(PARENT)
    [wait] = waits(project.run({"options": {"timeout": 60}}, **KNOWS))
    assert wait["until_us"] - wait["since_us"] == 60_000_000
    over = {**KNOWS, "answers": [{"call": wait["call"], "over": True}]}
    assert value(project.run({"options": {"timeout": 60}}, **over)) == ["unfinished", False]


REFUSED = {
    "refused": {
        "code": "invalid_parameters",
        "message": "The parameters do not fit.",
        "hint": "See what it takes.",
        "problems": [["parameters.n", "is required"]],
    }
}


def test_a_refusal_is_a_typed_error(project: Project):
    project.write("""
        @flow
        def main():
            try:
                run_deployment("part")
            except RunRefused as error:
                return [error.code, [list(each) for each in error.problems], str(error)]
    """)
    [wait] = waits(project.run(**KNOWS))
    told = {**KNOWS, "answers": [{"call": wait["call"], "over": False, "value": REFUSED}]}
    code, problems, text = value(project.run(**told))
    assert (code, problems) == ("invalid_parameters", [["parameters.n", "is required"]])
    assert "See what it takes." in text


def test_a_failed_child_is_given_or_raised(project: Project):
    project.write("""
        @flow
        def main(raises: bool):
            child = run_deployment("part", raise_on_failure=raises)
            try:
                child.result()
            except ChildRunFailed as error:
                return [child.state, error.error_class, error.run == child.id]
    """)
    [wait] = waits(project.run({"raises": False}, **KNOWS))
    failed = answered(wait, state="failed", error_class="ValueError")
    assert value(project.run({"raises": False}, **failed)) == ["failed", "ValueError", True]
    outcome = project.run({"raises": True}, **KNOWS)
    assert outcome.ended["error"]["class"].endswith("ChildRunFailed")


def test_a_result_that_is_not_here_says_what_to_do(project: Project):
    project.write("""
        @flow
        def main():
            return run_deployment("part").result()
    """)
    [wait] = waits(project.run(**KNOWS))
    outcome = project.run(**answered(wait))
    assert outcome.ended["error"]["class"].endswith("ResultElsewhere")
    assert "executed by one agent" in outcome.ended["error"]["message"]


READS = """
@flow
def main():
    return run_deployment("part").result()
"""
STORE = {"knows": ["runs", "results"], "run": RUN}


def wish_of(project: Project) -> Path:
    folder = project.runs / "2" / "wanted"
    return eventually(lambda: next(folder.glob("*.1"), None), what="a result is wanted")


@pytest.mark.parametrize(
    ("told", "gives"),
    [
        ({"codec": "json", "file": "VALUE"}, [1, 2]),
        ({"absent": "it was deleted"}, "it was deleted"),
        ({"codec": "none"}, "could not be kept"),
        ({"codec": "pickle", "file": "VALUE"}, "a pickle is read only where it was made"),
    ],
)
def test_a_result_of_another_agent_is_asked_for_and_waited_for(
    project: Project, told: dict, gives: object
):
    project.write(READS)
    [wait] = waits(project.run(**KNOWS))
    process: FlowProcess = project.start(**(answered(wait) | STORE))
    wish = wish_of(project)
    assert wish.name == f"{wait['run']}.1"
    value_of = b"[1,2]"
    digest = hashlib.sha256(value_of).hexdigest()
    kept = wish.parent.parent / "results" / digest
    kept.parent.mkdir()
    kept.write_bytes(value_of)
    about = {"size": 5, "digest": digest, **told}
    about |= {"file": digest} if "file" in told else {}
    part = wish.with_suffix(".part")
    part.write_text(json.dumps(about))
    part.rename(wish.with_name(f"{wish.name}.json"))
    outcome = process.finish()
    if isinstance(gives, list):
        assert value(outcome) == gives
    else:
        assert outcome.ended["error"]["class"].endswith("ResultElsewhere")
        assert str(gives) in outcome.ended["error"]["message"]


def test_a_cancel_ends_the_waiting_for_a_result(project: Project):
    project.write(READS)
    [wait] = waits(project.run(**KNOWS))
    process = project.start(**(answered(wait) | STORE))
    wish_of(project)
    process.cancel()
    assert process.finish().outcome == "cancelled"


def test_a_result_that_does_not_come_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(child_results, "PATIENCE_S", 1.0)
    waited: list[float] = []
    read = child_results.beside(tmp_path / "run" / "1", "", has_store=True)
    (tmp_path / "run" / "1").mkdir(parents=True)
    with pytest.raises(ResultElsewhere, match="did not have it within 1 s"):
        read(OTHER, 1, waited.append)
    assert sum(waited) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    "call",
    [
        'run_deployment("")',
        'run_deployment("part", {"n": object()})',
        'run_deployment("part", {1: 2})',
        'run_deployment("part", [1])',
        'run_deployment("part", {"n": "x" * 300_000})',
        'run_deployment("part", timeout=-1)',
        'run_deployment("part", tags="one")',
        'run_deployment("part", on_parent_cancelled="never")',
        "run_deployment('part', scheduled_time=__import__('datetime').datetime(2026, 1, 1))",
    ],
)
def test_what_cannot_be_meant_is_refused_at_the_call(project: Project, call: str):
    project.write(f"@flow\ndef main():\n    {call}\n")
    outcome = project.run(**KNOWS)
    assert outcome.ended["error"]["class"].endswith("InvalidOption"), outcome.ended
    assert outcome.of("run.requested") == []


def test_a_task_starts_no_run(project: Project):
    project.write("""
        @task
        def inner():
            run_deployment("part")

        @flow
        def main():
            inner()
    """)
    assert project.run(**KNOWS).ended["error"]["class"].endswith("NotInFlow")


def test_an_older_agent_is_told_to_be_upgraded(project: Project):
    project.write(PARENT)
    outcome = project.run(run=RUN, answers=[])
    assert "upgrade headway-agent" in outcome.ended["error"]["message"]


def test_ids_sort_by_when_they_were_asked_for():
    early, late = child_id(RUN, "ff" * 16, 1_000_000), child_id(RUN, "00" * 16, 2_000_000)
    assert UUID(early) < UUID(late)


def known(wait: dict, wish: str = "") -> dict:
    return {"call": wait["call"], "run": wait["run"], "wish": wish}


def cut(**more) -> dict:
    return {"logs": 1, "call": "", "around": [], "at_us": 0, **more}


def test_a_run_that_was_made_from_this_one_takes_what_is_under_way(project: Project):
    project.write(PARENT)
    [wait] = waits(project.run(**KNOWS))
    fork = {**KNOWS, "run": OTHER, "cuts": [cut()]}
    made = project.run(**fork, asked_runs=[known(wait)])
    [taken], [asked] = waits(made), made.of("run.requested")
    assert (taken["run"], asked["run"], asked["call"]) == (wait["run"], wait["run"], wait["call"])
    again = project.run(**fork, asked_runs=[known(wait, "ab" * 32)])
    assert [each["run"] for each in waits(again)] == [wait["run"]]


@pytest.mark.parametrize("by", ["call", "time"])
def test_a_call_that_is_cut_asks_anew(project: Project, by: str):
    project.write(PARENT)
    first = project.run(**KNOWS)
    [wait] = waits(first)
    [asked] = first.of("run.requested")
    out = cut(call=wait["call"]) if by == "call" else cut(at_us=asked["at_us"])
    made = project.run(**KNOWS | {"run": OTHER, "cuts": [out]}, asked_runs=[known(wait)])
    [taken] = waits(made)
    assert taken["run"] != wait["run"]
    [began] = [f for f in first.of("call.started") if f["call"] == wait["call"]]
    assert began["at_us"] == asked["at_us"]


@pytest.mark.parametrize("state", ["failed", "crashed", "cancelled"])
def test_a_child_that_ended_badly_is_kept_in_its_run_and_asked_for_anew_in_another(
    project: Project, state: str
):
    project.write(PARENT)
    [wait] = waits(project.run(**KNOWS))
    told = project.run(**answered(wait, state=state, error_class="ValueError"))
    assert value(told) == [state, True]
    [end] = [frame for frame in told.of("call.ended") if frame["kind"] == "wait"]
    assert (end["outcome"], end["error"]["class"]) == ("failed", "headway.ChildRunFailed")
    again = project.run(**KNOWS)
    assert value(again) == [state, True]
    [end] = [frame for frame in again.of("call.ended") if frame["kind"] == "wait"]
    assert (end["outcome"], end["tries"]) == ("failed", 0)
    made = project.run(**KNOWS | {"run": OTHER, "cuts": [cut(logs=3)]})
    [asked] = made.of("run.requested")
    assert asked["run"] != wait["run"]


def test_on_another_machine_equal_wishes_are_told_apart(project: Project):
    project.write("""
        @flow
        def main(n: int = 1):
            children = [submit_deployment("part", {"n": n}) for _ in range(3)]
            return [child.result().state for child in children]
    """)
    found = waits(project.run(**KNOWS, salt="one"))
    project.logs[0] += ".of-the-other-machine"
    request = RunRequest("part", {"n": 1}, (), "", 0, waited=True, outlives=False)
    wish = asked_runs.wish_of(request)
    there = [known(wait, wish) for wait in found[:2]]
    moved = project.run(**KNOWS, salt="other", asked_runs=there)
    taken = waits(moved)
    assert {wait["call"] for wait in taken}.isdisjoint(wait["call"] for wait in found)
    assert [wait["run"] for wait in taken[:2]] == [wait["run"] for wait in found[:2]]
    assert is_child_id(taken[2]["run"], RUN, taken[2]["call"])
    there += [known(wait, wish) for wait in taken]
    assert waits(project.run(**KNOWS, salt="other", asked_runs=there)) == taken
    other = project.run({"n": 2}, **KNOWS, salt="third", asked_runs=there)
    assert not {wait["run"] for wait in waits(other)} & {wait["run"] for wait in taken}


def test_a_wish_has_the_digest_that_the_control_plane_makes_of_it():
    parameters = {"n": 3, "text": "é\ud800", "x": 1.5, "deep": {"b": [1, None], "a": True}}
    frame = json.dumps({"parameters": parameters, "name": "part"}).encode()
    digest = WISHED["run.requested"]["parameters_digest"](json.loads(frame))
    asked = AskedRun(
        parent=UUID(RUN), call=b"c", run=UUID(OTHER), deployment="part",
        parameters=hashlib.sha256(digest).digest(), requested_at=datetime.now(UTC), refused="",
        is_abandoned=False, status="", agent=None,
    )  # fmt: skip
    request = RunRequest("part", parameters, (), "", 0, waited=True, outlives=False)
    assert asked_runs.wish_of(request) == asked.wish.hex()
    withheld = replace(asked, deployment=BY_DIGEST + hashlib.sha256(b"part").hexdigest())
    assert withheld.wish == asked.wish
    assert (
        asked_runs.wish_of(request._replace(parameters={}))
        == replace(asked, parameters=b"").wish.hex()
    )
