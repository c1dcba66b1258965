"""Cancel and loss of the supervisor, with real signals to a real process."""

from support.flow_process import FlowProcess, Project


def started(process: FlowProcess, name: str) -> None:
    process.seen(lambda f: f["type"] == "call.started" and f["name"] == name)


def logged(process: FlowProcess, text: str) -> None:
    process.seen(lambda f: f["type"] == "log" and f["text"] == text)


def test_a_sleeping_task(project: Project):
    project.write(
        """
import time

@task
def sleep():
    time.sleep(60)

@flow
def main():
    try:
        sleep()
    finally:
        Path("cleaned").touch()
"""
    )
    process = project.start()
    started(process, "sleep")
    process.cancel()
    outcome = process.finish()
    assert (outcome.outcome, outcome.code) == ("cancelled", 0)
    assert outcome.outcomes() == ["cancelled"]
    assert outcome.ended["error"]["class"] == "headway.Cancelled"
    assert (project.root / "cleaned").exists()


def test_a_busy_loop_that_catches_exceptions(project: Project):
    project.write(
        """
@flow
def main():
    get_run_logger().info("busy")
    while True:
        try:
            sum(range(100))
        except Exception:
            pass
"""
    )
    process = project.start()
    logged(process, "busy")
    process.cancel()
    assert process.finish().outcome == "cancelled"


def test_tasks_in_threads_and_those_that_wait_for_a_retry(project: Project):
    project.write(
        """
@task
def busy(n):
    try:
        get_run_logger().info(f"busy {n}")
        while True:
            sum(range(100))
    finally:
        Path(f"cleaned{n}").touch()

@task(retries=1, retry_delay=60)
def waiting():
    raise ValueError

@task
def never():
    Path("never").touch()

@flow(task_runner=ThreadRunner(3))
def main():
    futures = [busy.submit(1), busy.submit(2), waiting.submit(), never.submit()]
    wait(futures)
"""
    )
    process = project.start()
    logged(process, "busy 1")
    logged(process, "busy 2")
    process.seen(lambda f: f["type"] == "call.retrying")
    process.cancel()
    outcome = process.finish()
    assert outcome.outcome == "cancelled"
    assert sorted(outcome.outcomes()) == ["cancelled"] * 3
    assert (project.root / "cleaned1").exists()
    assert (project.root / "cleaned2").exists()
    assert not (project.root / "never").exists()


def test_nested_and_async_tasks_in_threads(project: Project):
    project.write(
        """
import asyncio

@task
def leaf(n):
    get_run_logger().info(f"leaf {n}")
    while True:
        sum(range(100))

@task
def branch():
    return [f.result() for f in leaf.map([1, 2, 3, 4])]

@task
async def sleep():
    get_run_logger().info("sleep")
    await asyncio.sleep(60)

@flow(task_runner=ThreadRunner(4))
def main():
    wait([sleep.submit(), branch.submit()])
"""
    )
    process = project.start()
    for text in ("sleep", "leaf 1", "leaf 2"):
        logged(process, text)
    process.cancel()
    outcome = process.finish()
    assert outcome.outcome == "cancelled"
    assert {f["call"] for f in outcome.of("call.started")} == {
        f["call"] for f in outcome.of("call.ended")
    }
    assert set(outcome.outcomes()) == {"cancelled"}


def test_an_async_flow(project: Project):
    project.write(
        """
import asyncio

@task
async def sleep(n):
    get_run_logger().info(f"sleep {n}")
    await asyncio.sleep(60)

@flow
async def main():
    sleep.submit(1)
    try:
        await sleep(2)
    except asyncio.CancelledError:
        Path("cleaned").touch()
        raise
"""
    )
    process = project.start()
    logged(process, "sleep 1")
    logged(process, "sleep 2")
    process.cancel()
    outcome = process.finish()
    assert outcome.outcome == "cancelled"
    assert outcome.outcomes() == ["cancelled", "cancelled"]
    assert outcome.ended["error"]["class"] == "headway.Cancelled"
    assert (project.root / "cleaned").exists()


def test_no_call_begins_after_the_cancel(project: Project):
    project.write(
        """
import time

@task
def work():
    Path("worked").touch()

@flow
def main():
    try:
        get_run_logger().info("ready")
        time.sleep(60)
    finally:
        work()
"""
    )
    process = project.start()
    logged(process, "ready")
    process.cancel()
    outcome = process.finish()
    assert outcome.outcome == "cancelled"
    assert not (project.root / "worked").exists()


def test_a_flow_that_completes_in_spite_of_the_cancel_has_completed(project: Project):
    project.write(
        """
import time

@flow
def main():
    try:
        get_run_logger().info("ready")
        time.sleep(60)
    except Cancelled:
        return "done"
"""
    )
    process = project.start()
    logged(process, "ready")
    process.cancel()
    process.cancel()
    assert process.finish().outcome == "completed"


def test_frames_stay_whole_when_the_cancel_comes_amid_many(project: Project):
    project.write(
        """
@task
def work(n):
    return "x" * 1000

@flow
def main():
    n = 0
    while True:
        n += 1
        work(n)
"""
    )
    process = project.start()
    process.seen(lambda f: f["type"] == "call.ended")
    process.cancel()
    outcome = process.finish()
    assert outcome.outcome == "cancelled"
    assert {f["type"] for f in outcome.frames} <= {
        "attempt.started",
        "call.started",
        "call.ended",
        "attempt.ended",
    }


def test_the_process_ends_when_its_supervisor_is_gone(project: Project):
    project.write(
        """
@task
def work(n):
    pass

@flow
def main():
    n = 0
    while True:
        n += 1
        work(n)
        with open("progress", "a") as file:
            file.write("x")
"""
    )
    process = project.start()
    started(process, "work")
    process.hang_up()
    assert process.finish().code == 70
