"""Dependencies between submitted calls: futures as arguments, wait_for, allowed failures, and maps of many."""

import pytest

from support.flow_process import Project
from support.run_values import value

TASKS = """
import threading

gate = threading.Event()

@task
ASYNC def first(fail=False):
    gate.wait(20)
    with open("order", "a") as file:
        file.write("first ")
    if fail:
        raise ValueError("first failed")
    return 1

@task
ASYNC def second(*values, **named):
    with open("order", "a") as file:
        file.write("second ")
    return repr([values, named])
"""


@pytest.mark.parametrize("kind", ["", "async "])
def test_a_call_waits_for_what_it_was_told_to(project: Project, kind: str):
    project.write(
        TASKS.replace("ASYNC ", kind)
        + """
@flow
def main():
    before = first.submit()
    after = second.submit(5, wait_for=[before])
    gate.set()
    return after.result()
"""
    )
    assert value(project.run()) == "[(5,), {}]"
    assert (project.root / "order").read_text() == "first second "


def test_what_waits_for_a_failure_is_not_executed(project: Project):
    project.write(
        TASKS.replace("ASYNC ", "")
        + """
@flow
def main():
    gate.set()
    before = first.submit(fail=True)
    return str(second.submit(wait_for=[before]).exception())
"""
    )
    outcome = project.run()
    assert value(outcome) == "first failed"
    assert [f["tries"] for f in outcome.of("call.ended", "second")] == [0]
    assert (project.root / "order").read_text() == "first "


def test_a_failure_can_be_allowed(project: Project):
    project.write(
        TASKS.replace("ASYNC ", "")
        + """
@flow
def main():
    gate.set()
    bad, good = first.submit(fail=True), first.submit()
    kept = allow_failure(bad)
    return [
        second.submit(kept, {"nested": [allow_failure(good), kept]}).result(),
        second.submit(wait_for=[kept]).result(),
        [f.result() for f in second.map(allow_failure([bad, good]))],
        second.submit(allow_failure(3)).result(),
    ]
"""
    )
    one = "ValueError('first failed')"
    assert value(project.run()) == [
        f"[({one}, {{'nested': [1, {one}]}}), {{}}]",
        "[(), {}]",
        [f"[({one},), {{}}]", "[(1,), {}]"],
        "[(3,), {}]",
    ]
    second = project.run()
    assert [f["outcome"] for f in second.of("call.ended", "second")] == ["skipped"] * 5


def test_async_flows_wait_in_the_same_words(project: Project):
    project.write(
        """
@task
async def add(a, b=0):
    return a + b

@task
async def fails():
    raise ValueError("no")

@flow
async def main():
    one = add.submit(1)
    two = add.submit(one, one)
    bad = fails.submit()
    three = add.submit(two, wait_for=[allow_failure(bad)])
    return [await three, await add.map([1, 2], unmapped(two))]
"""
    )
    assert value(project.run()) == [2, [3, 4]]


def test_the_results_of_a_map_can_be_handed_on_whole(project: Project):
    project.write(
        """
@task
def double(n):
    return 2 * n

@task
def total(numbers):
    return sum(numbers)

@flow
def main():
    doubled = double.map(range(10))
    again = double.map(doubled)
    assert not again.wait().pending
    return [total.submit(doubled).result(), total(again.result()), total(doubled)]
"""
    )
    first, second = project.run(), project.run()
    assert value(first) == value(second) == [90, 180, 90]
    assert set(second.outcomes()) == {"skipped"}


def test_tasks_may_call_tasks_deeply(project: Project):
    project.write(
        """
@task
def down(n):
    return n and down(n - 1) + 1

@flow
def main():
    return [down(400), down.submit(401).result()]
"""
    )
    assert value(project.run()) == [400, 401]


def test_a_recursion_without_end_is_an_error(project: Project):
    project.write(
        """
@task
def down(n):
    return down(n + 1)

def plain(n):
    return plain(n + 1)

@flow
def main():
    kinds = []
    for start in (lambda: plain(0), lambda: down(0), down.map([0])[0].result):
        try:
            start()
        except RecursionError as error:
            kinds.append(type(error).__name__)
    return kinds
"""
    )
    assert value(project.run()) == ["RecursionError"] * 3
