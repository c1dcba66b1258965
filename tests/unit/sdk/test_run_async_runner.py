"""Flows with an AsyncRunner: how many async calls are under way, on which loop, and how they end."""

import pytest

from support.flow_process import Project
from support.run_values import value

HEAD = """
import asyncio

active, most, loops = 0, 0, set()

@task
async def inner():
    return 1

@task
async def work(n):
    global active, most
    loops.add(id(asyncio.get_running_loop()))
    active += 1
    most = max(most, active)
    for _ in range(20):
        await asyncio.sleep(0)
    active -= 1
    return n + await inner.submit() + await inner()
"""


def test_sync_code_has_one_loop_for_all_and_no_more_at_a_time(project: Project):
    project.write(
        HEAD
        + """
@task
def plain(n):
    return n

@flow(task_runner=AsyncRunner(5))
def main():
    values = work.map(plain.map(range(60))).result()
    return [values == [n + 2 for n in range(60)], most, len(loops)]
"""
    )
    assert value(project.run()) == [True, 5, 1]
    assert value(project.run()) == [True, 0, 0], "all are skipped"


def test_async_code_has_no_more_at_a_time(project: Project):
    project.write(
        HEAD
        + """
@flow(task_runner=AsyncRunner(5))
async def main():
    values = await work.map(range(60))
    return [values == [n + 2 for n in range(60)], most, len(loops)]
"""
    )
    assert value(project.run()) == [True, 5, 1]


WAITS = """
import asyncio, threading

@task
async def waits(n):
    try:
        get_run_logger().info("here")
        await asyncio.sleep(3600)
    finally:
        with open("cleaned", "a") as file:
            file.write("x")

@flow(task_runner=AsyncRunner(2))
KIND main():
    futures = waits.map(range(4))
    AFTER
"""


@pytest.mark.parametrize(
    ("kind", "after"), [("def", "futures.result()"), ("async def", "await futures")]
)
def test_a_cancel_reaches_them(project: Project, kind: str, after: str):
    project.write(WAITS.replace("KIND", kind).replace("AFTER", after))
    process = project.start()
    process.seen(lambda _: sum(f["type"] == "log" for f in process.frames) == 2)
    process.cancel()
    outcome = process.finish()
    assert outcome.outcome == "cancelled"
    assert (project.root / "cleaned").read_text() == "xx"
    assert set(outcome.outcomes("waits")) == {"cancelled"}


def test_a_flow_that_fails_stops_what_it_submitted(project: Project):
    project.write(
        WAITS.replace("KIND", "def").replace(
            "AFTER", 'while not Path("go").exists(): pass\n    raise ValueError("enough")'
        )
    )
    process = project.start()
    process.seen(lambda _: sum(f["type"] == "log" for f in process.frames) == 2)
    (project.root / "go").touch()
    outcome = process.finish()
    assert outcome.ended["error"]["message"] == "enough"
    assert (project.root / "cleaned").read_text() == "xx"


def test_a_limit_of_time_holds_on_the_common_loop(project: Project):
    project.write(
        """
import asyncio

@task(timeout=0.05, retries=1)
async def late():
    await asyncio.sleep(3600)

@flow(task_runner=AsyncRunner())
def main():
    return type(late.submit().exception()).__name__
"""
    )
    assert value(project.run()) == "TimedOut"
