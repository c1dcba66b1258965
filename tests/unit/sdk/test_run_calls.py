"""Calls of an attempt in a real flow process: what is recorded, what the next attempt skips."""

from typing import Any

from support.flow_process import Project
from support.marks import MARK, marks, value


def test_a_new_attempt_skips_what_has_completed(project: Project):
    project.write(
        MARK
        + """
@task
def double(n):
    mark(f"double{n}")
    return n * 2

@flow
def main(fail: bool):
    total = double(1) + double(2)
    if fail:
        raise RuntimeError("later")
    return total + double(3)
"""
    )
    first = project.run({"fail": True})
    second = project.run({"fail": False})
    assert first.outcome == "failed"
    assert value(second) == 12
    assert second.outcomes() == ["skipped", "skipped", "completed"]
    assert marks(project) == ["double1", "double2", "double3"]
    assert [f["call"] for f in first.of("call.ended")] == [
        f["call"] for f in second.of("call.ended")[:2]
    ]


def test_a_third_attempt_finds_what_the_second_skipped(project: Project):
    project.write(
        MARK
        + """
@task
def once():
    mark("once")
    return [1, (2, {3})]

@flow
def main():
    assert once() == [1, (2, {3})]
"""
    )
    project.run()
    project.run()
    assert project.run(journal=project.logs[1:]).outcomes() == ["skipped"]
    assert marks(project) == ["once"]


def test_equal_calls_of_a_threaded_map_have_distinct_and_stable_keys(project: Project):
    project.write(
        """
@task
def same(n, unused):
    return n

@flow
def main():
    return [f.result() for f in same.map([7] * 40, unused=unmapped([1, 2]))]
"""
    )
    first, second = project.run(), project.run()
    assert value(first) == value(second) == [7] * 40
    keys = {f["call"] for f in first.of("call.ended")}
    assert len(keys) == 40
    assert keys == {f["call"] for f in second.of("call.ended")}
    assert second.outcomes() == ["skipped"] * 40


def test_an_item_inserted_first_is_the_only_one_executed(project: Project):
    project.write(
        MARK
        + """
@task
def work(n):
    mark(n)
    return n

@flow
def main(items: list[int]):
    return [f.result() for f in work.map(items)]
"""
    )
    project.run({"items": [1, 2, 3]})
    second = project.run({"items": [9, 1, 2, 3]})
    assert value(second) == [9, 1, 2, 3]
    assert marks(project)[3:] == ["9"]
    assert sorted(second.outcomes()) == ["completed", "skipped", "skipped", "skipped"]


def test_retries_are_reported_and_wait_as_asked(project: Project):
    project.write(
        """
@task(retries=3, retry_delay=[0.001, 0.004, 0.008])
def flaky():
    tried = run_context().try_number
    if tried < 4:
        raise ValueError(f"try {tried}")
    return tried

@flow
def main():
    return flaky()
"""
    )
    outcome = project.run()
    assert value(outcome) == 4
    retries = outcome.of("call.retrying")
    assert [f["try"] for f in retries] == [1, 2, 3]
    assert [f["delay_us"] for f in retries] == [1000, 4000, 8000]
    assert [f["error"]["message"] for f in retries] == ["try 1", "try 2", "try 3"]
    assert outcome.of("call.ended")[0]["tries"] == 4


def test_a_failed_call_tells_its_user_frames(project: Project):
    project.write(
        """
class Broken(Exception):
    pass

def deep():
    raise Broken("no rows")

@task(retries=1)
def load():
    deep()

@flow
def main():
    load()
"""
    )
    outcome = project.run()
    assert outcome.outcome == "failed"
    [ended] = outcome.of("call.ended")
    assert (ended["outcome"], ended["tries"]) == ("failed", 2)
    error = ended["error"]
    assert (error["class"], error["message"]) == ("flows.Broken", "no rows")
    user = [step for step in error["traceback"] if step["user"]]
    assert [(step["file"], step["function"]) for step in user] == [
        ("flows.py", "load"),
        ("flows.py", "deep"),
    ]
    assert user[-1]["code"] == 'raise Broken("no rows")'
    assert any(not step["user"] and "sync_calls.py" in step["file"] for step in error["traceback"])


def test_a_caught_failure_does_not_fail_the_flow(project: Project):
    project.write(
        """
@task
def bad():
    raise KeyError("k")

@flow
def main():
    try:
        bad()
    except KeyError:
        return "caught"
"""
    )
    outcome = project.run()
    assert value(outcome) == "caught"
    assert project.run().outcomes() == ["failed"], "a failed call is no result: executed again"


def test_nested_tasks_and_subflows_know_their_parent(project: Project):
    project.write(
        """
@task
def inner(n):
    return n

@task
def outer(n):
    return inner(n) + inner.submit(n + 1).result()

@flow
def sub(n):
    return outer(n)

@flow
def main():
    return sub(1) + outer(1)
"""
    )
    outcome = project.run()
    assert value(outcome) == 6
    calls = {f["call"]: f for f in outcome.of("call.ended")}

    def path(frame: dict[str, Any]) -> str:
        above = calls.get(frame["parent"])
        return (path(above) if above else frame["parent"]) + f"/{frame['kind']}:{frame['name']}"

    paths = sorted(path(f) for f in calls.values())
    assert paths == sorted(
        [
            "root/flow:sub",
            "root/flow:sub/task:outer",
            *["root/flow:sub/task:outer/task:inner"] * 2,
            "root/task:outer",
            *["root/task:outer/task:inner"] * 2,
        ]
    )
    assert sorted(project.run().outcomes()) == ["skipped", "skipped"]


def test_children_of_a_task_that_did_not_complete_are_skipped_too(project: Project):
    project.write(
        MARK
        + """
@task
def inner(n):
    mark(n)
    return n

@task
def outer(fail):
    total = inner(1) + inner(2)
    if Path("fail").exists():
        raise RuntimeError
    return total

@flow
def main():
    return outer(True)
"""
    )
    (project.root / "fail").touch()
    assert project.run().outcome == "failed"
    (project.root / "fail").unlink()
    second = project.run()
    assert value(second) == 3
    assert second.outcomes("inner") == ["skipped", "skipped"]
    assert marks(project) == ["1", "2"]


def test_explicit_keys_and_arguments_without_digest(project: Project):
    project.write(
        """
class Order:
    def __init__(self, id):
        self.id = id

@task(key=lambda arguments: arguments["order"].id)
def keyed(order):
    return order.id

@task
def unkeyed(order):
    return order.id

@flow
def main():
    return [keyed(Order("a")), keyed(Order("b")), unkeyed(Order("c"))]
"""
    )
    first, second = project.run(), project.run()
    assert value(second) == ["a", "b", "c"]
    assert second.outcomes() == ["skipped", "skipped", "completed"]
    assert (
        first.of("call.ended", "unkeyed")[0]["call"]
        != second.of("call.ended", "unkeyed")[0]["call"]
    )


def test_durable_sync_is_asked_for_in_the_frame(project: Project):
    project.write(
        """
@task(durable="sync")
def pay():
    return 1

@flow
def main():
    pay()
"""
    )
    assert project.run().of("call.ended")[0]["durable"] == "sync"


def test_a_process_that_dies_after_a_call_leaves_it_in_the_journal(project: Project):
    """The entry goes out with the call's end, not with what comes next: the very next line may be the last."""
    project.write(
        MARK
        + """
import os

@task
def once():
    mark("once")
    return 1

@flow
def main(die: bool):
    value = once()
    if die:
        os._exit(9)
    return value
"""
    )
    project.run({"die": True})
    assert value(project.run({"die": False})) == 1
    assert marks(project) == ["once"]


def test_keys_depend_on_the_runs_secret_and_the_journal_still_matches(project: Project):
    """Without the secret nobody can find arguments by trying which of them give a key."""
    project.write(
        """
@task
def once(n):
    return n

@flow
def main():
    return once(7)
"""
    )
    plain = project.run(journal=[]).of("call.ended")[0]["call"]
    first = project.run(journal=[], salt="5f" * 32)
    again = project.run(salt="5f" * 32)
    assert first.of("call.ended")[0]["call"] != plain
    assert again.of("call.ended")[0]["call"] == first.of("call.ended")[0]["call"]
    assert again.outcomes() == ["skipped"]
