"""Time limits of calls in a real flow process: what is late is stopped, and everything else goes on."""

import pytest

from support.flow_process import Project
from support.run_values import value

LIMIT = 0.05

SYNC = """
import itertools, threading, time

@task(timeout=0.05)
def late():
    try:
        for _ in itertools.count():
            time.sleep(0.001)
    except Exception:
        return "swallowed"
    finally:
        Path("cleaned").touch()

@task
def other():
    return "other"

@flow
def main():
    try:
        CALL
    except TimedOut as error:
        return [str(error), other()]
"""


@pytest.mark.parametrize("call", ["late()", "late.submit().result()"], ids=["main", "thread"])
def test_a_late_sync_call_is_stopped_and_the_flow_goes_on(project: Project, call: str):
    project.write(SYNC.replace("CALL", call))
    outcome = project.run()
    assert value(outcome) == [
        "late took longer than its timeout of 0.05 s, and was stopped",
        "other",
    ]
    (ended,) = outcome.of("call.ended", "late")
    assert (ended["outcome"], ended["error"]["class"]) == ("failed", "headway.TimedOut")
    assert (project.root / "cleaned").exists()


def test_a_blocking_system_call_of_the_main_thread_is_interrupted(project: Project):
    project.write(
        """
import threading

@task(timeout=0.05)
def late():
    threading.Event().wait(3600)

@flow
def main():
    late()
"""
    )
    outcome = project.run()
    assert outcome.ended["error"]["class"] == "headway.TimedOut"


def test_a_try_that_is_late_is_tried_again(project: Project):
    project.write(
        """
import threading

@task(timeout=0.05, retries=1, retry_on=TimedOut)
def late():
    if run_context().try_number == 1:
        threading.Event().wait(3600)
    return run_context().try_number

@flow
def main():
    return late()
"""
    )
    outcome = project.run()
    assert value(outcome) == 2
    assert [f["error"]["class"] for f in outcome.of("call.retrying")] == ["headway.TimedOut"]


@pytest.mark.parametrize(
    "inner", ["inner()", "inner.submit().result()", "[f.result() for f in inner.map([1, 2])]"]
)
@pytest.mark.parametrize("outer", ["outer()", "outer.submit().result()"])
def test_the_time_of_a_call_is_the_time_of_all_below_it(project: Project, outer: str, inner: str):
    project.write(
        f"""
import itertools, time

@task(retries=5, timeout=3600)
def inner(n=0):
    for _ in itertools.count():
        time.sleep(0.001)

@task(timeout=0.05)
def outer():
    {inner}

@flow
def main():
    try:
        {outer}
    except TimedOut as error:
        return str(error)
"""
    )
    outcome = project.run()
    assert value(outcome).startswith("outer took longer")
    assert set(outcome.outcomes("inner")) == {"cancelled"}
    assert outcome.of("call.retrying") == []


def test_waiting_for_a_retry_counts(project: Project):
    project.write(
        """
@task(retries=1, retry_delay=3600)
def inner():
    raise ValueError("again")

@task(timeout=0.05)
def outer():
    inner()

@flow
def main():
    outer()
"""
    )
    outcome = project.run()
    assert outcome.ended["error"]["class"] == "headway.TimedOut"


ASYNC = """
import asyncio

@task(timeout=0.05, retries=1)
async def late():
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)

@task
async def fast():
    return 1

@flow
async def main():
    try:
        CALL
    except TimedOut:
        return await fast()
"""


@pytest.mark.parametrize("call", ["await late()", "await late.submit()"])
def test_a_late_async_call_is_cancelled(project: Project, call: str):
    project.write(ASYNC.replace("CALL", call))
    outcome = project.run()
    assert value(outcome) == 1
    (ended,) = outcome.of("call.ended", "late")
    assert (ended["outcome"], ended["tries"]) == ("failed", 2)


def test_an_async_task_submitted_by_sync_code_is_stopped_too(project: Project):
    project.write(
        ASYNC.replace("async def main", "def main")
        .replace("CALL", "late.submit().result()")
        .replace("await fast()", "1")
    )
    assert value(project.run()) == 1


def test_sync_code_on_a_loop_is_stopped_with_its_async_caller(project: Project):
    project.write(
        """
import itertools, time

@task
def inner():
    for _ in itertools.count():
        time.sleep(0.001)

@task(timeout=0.05)
async def outer():
    inner()

@flow
async def main():
    try:
        await outer()
    except TimedOut as error:
        return str(error)
"""
    )
    assert value(project.run()).startswith("outer took longer")


def test_limits_that_are_kept_leave_nothing_behind(project: Project):
    project.write(
        """
@task(timeout=3600)
def quick(n):
    return n

@flow
def main():
    assert [quick(n) for n in range(600)] == list(range(600))
    assert quick.map(range(600)).result() == list(range(600))
    engine = headway.context.current_call().engine
    return len(engine.limits._waiting)
"""
    )
    assert value(project.run()) < 600


def test_a_storm_of_limits_loses_no_fact_and_no_thread(project: Project):
    """Strikes that fall everywhere: each call still has one end, and each thread goes on to its next call."""
    project.write(
        """
import time

@task
def leaf(n):
    return n

@task(timeout=0.01)
def busy(n):
    end = time.monotonic() + (n % 5) * 0.004
    done = 0
    while time.monotonic() < end:
        done += leaf(done) >= 0
    return done

@flow(task_runner=ThreadRunner(8))
def main():
    futures = busy.map(range(50))
    errors = {type(future.exception()).__name__ for future in futures}
    for n in range(10):
        try:
            busy(n)
        except TimedOut:
            errors.add("TimedOut")
    assert leaf.map(range(50)).result() == list(range(50))
    return sorted(errors)
"""
    )
    outcome = project.run()
    assert "TimedOut" in value(outcome)
    assert set(value(outcome)) <= {"TimedOut", "NoneType"}
    ended = [f["call"] for f in outcome.of("call.ended")]
    assert len(ended) == len(set(ended))
    assert len(outcome.of("call.ended", "busy")) == 60
    assert {f["call"] for f in outcome.of("call.started")} <= set(ended)
