"""The real flow process under the real supervisor and template: what lands in frames.log, and what the next attempt takes from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from headway.runtime.frames_log import read
from support.attempts import lines_of, template, wait_dead
from support.flow_process import VALIDATOR, Project

CHILD = "headway.runtime.child:run_attempt"
SOURCE = """
import time

@task
def work(n):
    with open("marks", "a") as file:
        file.write(f"{n} ")
    return {n: bytes([n])}

@flow
def main(last: int, crash: bool = False):
    print("hello")
    get_run_logger().warning("careful")
    results = [f.result() for f in work.map(list(range(last)))]
    if crash:
        import os
        os.kill(os.getpid(), 9)
    return results
"""


def attempt(
    project: Project,
    fence: int,
    parameters: dict[str, Any],
    journal: list[str],
    grace_us: int = 5_000_000,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Facts and output lines of one attempt, once it is over."""
    run_dir = project.runs / str(fence)
    run_dir.mkdir(parents=True)
    start = {
        "protocol": 1,
        "run": "run-1",
        "fence": fence,
        "run_name": "brisk-otter",
        "flow": "main",
        "deployment": "main/test",
        "entrypoint": "flows:main",
        "root": str(project.root),
        "environment": "test",
        "env": {},
        "parameters": parameters,
        "journal": journal,
        "store": "",
        "wake": "",
        "cancel_grace_us": grace_us,
        "kill_grace_us": grace_us,
        "traceparent": "",
        "durable": "group",
    }
    (run_dir / "start.json").write_text(json.dumps(start))
    with template(child=CHILD) as process:
        wait_dead(process.spawn(run_dir)["pid"])
    return _facts(run_dir), lines_of(run_dir)


def _facts(run_dir: Path) -> list[dict[str, Any]]:
    facts = [frame for _, frame in read(run_dir / "frames.log")]
    for fact in facts:
        VALIDATOR.validate(fact)
    return facts


@pytest.mark.process
def test_an_attempt_that_crashed_is_taken_up_by_the_next(project: Project):
    project.write(SOURCE)
    first, lines = attempt(project, 1, {"last": 3, "crash": True}, [])
    assert first[0]["type"] == "attempt.starting"
    assert (first[-1]["type"], first[-1]["outcome"]) == ("attempt.exited", "crashed")
    assert [(line["source"], line["text"]) for line in lines if line["source"] == "log"] == [
        ("log", "careful")
    ]
    log = str(project.runs / "1" / "frames.log")
    second, _ = attempt(project, 2, {"last": 4}, [log])
    assert second[-1]["outcome"] == "completed"
    outcomes = [fact["outcome"] for fact in second if fact["type"] == "call.ended"]
    assert sorted(outcomes) == ["completed", "skipped", "skipped", "skipped"]
    assert sorted((project.root / "marks").read_text().split()) == ["0", "1", "2", "3"]


LATE = """
import signal, threading

def tell(change):
    get_run_logger().info("hook: %s", change.error)

@task
def waits():
    threading.Event().wait()

@flow(timeout=0.1, on_failure=tell)
def main(deaf: bool):
    if deaf:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    waits()
"""


@pytest.mark.process
@pytest.mark.parametrize("deaf", [False, True], ids=["cooperative", "killed"])
def test_an_attempt_that_takes_too_long_is_stopped_and_has_failed(project: Project, deaf: bool):
    project.write(LATE)
    facts, lines = attempt(project, 1, {"deaf": deaf}, [], grace_us=100_000 if deaf else 20_000_000)
    last = facts[-1]
    assert (last["outcome"], last["cause"]) == ("failed", "timed out")
    assert last["error"]["class"] == "headway.TimedOut"
    assert "longer than its timeout of 0.1 s" in last["error"]["message"]
    assert last.get("signal") == (9 if deaf else None)
    calls = [fact["outcome"] for fact in facts if fact["type"] == "call.ended"]
    assert calls == ([] if deaf else ["cancelled"])
    assert any("hook: main took longer" in line["text"] for line in lines) is not deaf


DEAD = """
import os, threading

def tell(change):
    get_run_logger().info("%s %s: %s", change.state, change.run.run, change.message)

def fails(change):
    raise RuntimeError("hook")

def hangs(change):
    threading.Event().wait()

@flow(on_crashed=[fails, tell], on_cancellation=tell, on_failure=hangs)
def main(how: str):
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), 9)
    raise Cancelled
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("how", "outcome", "told"),
    [
        ("exit", "crashed", "crashed run-1: its process ended with exit code 3"),
        ("kill", "crashed", "crashed run-1: its process ended by signal 9 (SIGKILL)"),
        ("cancel", "cancelled", "cancelled run-1: "),
    ],
)
def test_hooks_run_even_when_the_flows_process_has_died(
    project: Project, how: str, outcome: str, told: str
):
    project.write(DEAD)
    facts, lines = attempt(project, 1, {"how": how}, [])
    assert facts[-1]["outcome"] == outcome
    texts = [line["text"] for line in lines]
    assert texts.count(told) == 1
    assert any("the hook fails failed" in text for text in texts) is (outcome == "crashed")


TRANSACTION = """
import os

def finish(step):
    with open("marks", "a") as file:
        file.write(f"commit:{step.value} ")
    if step.value == 2 and not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), 9)

@task(on_commit=finish)
def work(n):
    with open("marks", "a") as file:
        file.write(f"{n} ")
    return n

@flow
def main():
    with transaction():
        return work(1) + work(2)
"""


def test_a_hook_that_has_ended_is_on_the_disk_before_the_next_one_begins(project: Project):
    project.write(TRANSACTION)
    facts, _ = attempt(project, 1, {}, [])
    assert facts[-1]["outcome"] == "crashed"
    facts, _ = attempt(project, 2, {}, [str(project.runs / "1" / "frames.log")])
    assert facts[-1]["outcome"] == "completed"
    assert (project.root / "marks").read_text() == "1 2 commit:1 commit:2 commit:2 "
