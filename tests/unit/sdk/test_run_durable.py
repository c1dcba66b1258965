"""`durable="sync"`: the flow goes on once the supervisor has said that the result is on disk, and not before."""

import pytest

from headway.runtime.channel import SUPERVISOR_LOST
from support.flow_process import FlowProcess, Project

SYNC = """
@task(durable="sync")
def sure():
    return 1

@task
def after():
    return 2

@flow
def main():
    return sure() + after()
"""
ASYNC = SYNC.replace("def sure", "async def sure").replace("def main", "async def main")
ASYNC = ASYNC.replace("return sure()", "return await sure()")
MAPPED = """
@task(durable="sync")
def sure(n):
    return n

@flow(task_runner=ThreadRunner(4))
def main():
    return sum(f.result() for f in sure.map([0, 1, 2, 3]))
"""


def ended(process: FlowProcess, count: int) -> list[str]:
    """The calls that have ended, once there are so many."""

    def calls() -> list[str]:
        return [f["call"] for f in process.frames if f["type"] == "call.ended"]

    process.seen(lambda _: len(calls()) >= count)
    return calls()


@pytest.mark.parametrize("source", [SYNC, ASYNC], ids=["sync", "async"])
def test_nothing_follows_before_the_answer(project: Project, source: str):
    project.write(source)
    process = project.start(confirms=False)
    (call,) = ended(process, 1)
    process.cancel()  # waits for the answer too, then it is the next thing that happens
    process.confirm(call)
    outcome = process.finish()
    assert outcome.outcome == "cancelled"
    assert outcome.outcomes("sure") == ["completed"]
    assert outcome.of("call.ended", "after") == []


@pytest.mark.parametrize("order", [1, -1])
def test_threads_wait_for_their_own_answers(project: Project, order: int):
    project.write(MAPPED)
    process = project.start(confirms=False)
    for call in ended(process, 4)[::order]:
        process.confirm(call)
    outcome = process.finish()
    assert (outcome.outcome, outcome.ended["result"]["data"]) == ("completed", "6")


def test_whoever_waits_for_a_lost_supervisor_ends(project: Project):
    project.write(SYNC)
    process = project.start(confirms=False)
    ended(process, 1)
    process.hang_up()
    assert process.finish().code == SUPERVISOR_LOST
