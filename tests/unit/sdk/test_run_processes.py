"""Flows with a ProcessRunner: what runs in other processes is recorded, retried, skipped, limited and cancelled as ever."""

from collections import Counter

import pytest

from support.flow_process import Project
from support.run_values import value

HEAD = """
import os, signal, threading

"""


def test_calls_run_in_other_processes_and_are_told_by_this_one(project: Project):
    project.write(
        HEAD
        + """
@task
def where(n):
    print(f"printed {n}\\n", end="")
    get_run_logger().info("logged %s", n)
    return os.getpid(), n

@flow(task_runner=ProcessRunner(2))
def main():
    found = where.map(range(6)).result()
    assert [n for _, n in found] == list(range(6))
    pids = {pid for pid, _ in found}
    assert os.getpid() not in pids and len(pids) <= 2
    assert where(9)[0] == os.getpid()
    return "done"
"""
    )
    outcome = project.run()
    assert value(outcome) == "done"
    assert outcome.outcomes("where") == ["completed"] * 7
    logged = {f["call"]: f["text"] for f in outcome.of("log")}
    assert sorted(logged.values()) == [*(f"logged {n}" for n in range(6)), "logged 9"]
    assert logged.keys() == {f["call"] for f in outcome.of("call.ended")}
    assert sorted(outcome.out.split("\n"))[1:] == [*(f"printed {n}" for n in range(6)), "printed 9"]


def test_the_next_attempt_skips_what_completed_there_and_below(project: Project):
    project.write(
        """
@task
def below(n):
    with open("marks", "a") as file:
        file.write(f"{n} ")
    return n

@task(retries=1)
def work(n, fail):
    total = below(n) + sum(below.map([n * 10, n * 100]).result())
    if fail and n == 2:
        raise ValueError("later")
    return total

@flow(task_runner=ProcessRunner(2))
def main(fail: bool):
    return [f.result() for f in work.map([1, 2], unmapped(fail))]
"""
    )
    first = project.run({"fail": True})
    assert first.outcome == "failed"
    assert len({f["call"] for f in first.of("call.ended")}) == len(first.of("call.ended"))
    assert [f["try"] for f in first.of("call.retrying")] == [1]
    second = project.run({"fail": False})
    assert value(second) == [111, 222]
    marks = Counter((project.root / "marks").read_text().split())
    # The second try and the second attempt, whose arguments are others, are other calls than the first.
    assert marks == dict.fromkeys(["1", "10", "100"], 2) | dict.fromkeys(["2", "20", "200"], 3)
    third = project.run({"fail": False})
    assert value(third) == [111, 222]
    assert third.outcomes() == ["skipped", "skipped"]


def test_an_error_keeps_its_class_and_its_place(project: Project):
    project.write(
        """
class Own(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} {b}")

@task
def wrong(kind):
    if kind == "plain":
        raise LookupError("not there")
    if kind == "own":
        raise Own(1, 2)
    return lambda: None

@flow(task_runner=ProcessRunner(1))
def main():
    return [type(f.exception()).__name__ for f in wrong.map(["plain", "own", "result"])]
"""
    )
    outcome = project.run()
    assert value(outcome) == ["LookupError", "HeadwayError", "TypeError"]
    plain, own, _ = outcome.of("call.ended")
    assert plain["error"]["class"] == "LookupError"
    assert plain["error"]["traceback"][-1]["code"] == 'raise LookupError("not there")'
    assert own["error"]["class"] == "flows.Own"


def test_a_process_that_dies_fails_its_call_alone(project: Project):
    project.write(
        HEAD
        + """
@task(retries=1, retry_on=WorkerDied)
def dies(n):
    if n == 1 and run_context().try_number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 2:
        os._exit(3)
    return n

@flow(task_runner=ProcessRunner(2))
def main():
    futures = dies.map(range(4))
    assert [f.exception() is None for f in futures] == [True, True, False, True]
    return str(futures[2].exception())
"""
    )
    outcome = project.run()
    assert value(outcome) == "the process of dies ended with exit code 3"
    assert any("signal 9 (SIGKILL)" in f["error"]["message"] for f in outcome.of("call.retrying"))


def test_a_late_call_has_its_process_killed(project: Project):
    project.write(
        HEAD
        + """
@task(timeout=0.2)
def stuck():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    Path("pid").write_text(str(os.getpid()))
    threading.Event().wait()

@task
def fine():
    return "fine"

@flow(task_runner=ProcessRunner(1))
def main():
    try:
        stuck.submit().result()
    except TimedOut as error:
        try:
            os.kill(int(Path("pid").read_text()), 0)
        except ProcessLookupError:
            return [str(error), fine.submit().result()]
"""
    )
    assert value(project.run()) == [
        "stuck took longer than its timeout of 0.2 s, and was stopped",
        "fine",
    ]


def test_a_cancel_reaches_the_processes(project: Project):
    project.write(
        HEAD
        + """
@task
def waits():
    try:
        get_run_logger().info("here")
        threading.Event().wait()
    finally:
        Path("cleaned").touch()

@flow(task_runner=ProcessRunner(1))
def main():
    waits.submit().result()
"""
    )
    process = project.start()
    process.seen(lambda f: f["type"] == "log")
    process.cancel()
    outcome = process.finish()
    assert outcome.outcome == "cancelled"
    assert outcome.outcomes("waits") == ["cancelled"]
    assert (project.root / "cleaned").exists()


def test_what_cannot_be_pickled_is_told(project: Project):
    project.write(
        """
@task
def takes(value):
    return 1

@flow(task_runner=ProcessRunner(1))
def main():
    return str(takes.submit(lambda: None).exception())
"""
    )
    assert value(project.run()).startswith("takes cannot be handed to another process")


@pytest.mark.parametrize("count", [1, 40])
def test_durable_calls_below_wait_for_their_answers(project: Project, count: int):
    project.write(
        f"""
@task(durable="sync")
def sure(n):
    return n

@task
def work(n):
    return sum(sure.map(range(n)).result())

@flow(task_runner=ProcessRunner(2))
def main():
    return sum(work.map([{count}] * 3).result())
"""
    )
    assert value(project.run()) == 3 * sum(range(count))
