"""Hooks, run names and logged prints in a real flow process."""

import pytest

from support.flow_process import Project
from support.run_values import value

HOOKS = """
told = []

def tell(change):
    told.append([change.state, change.name, change.run.try_number, change.value, str(change.error or "")])

def broken(change):
    raise RuntimeError("hook")

every = {"on_running": tell, "on_completion": [broken, tell], "on_failure": tell, "on_cancellation": tell}

@task(**every, retries=1)
ASYNC def second_time():
    if run_context().try_number == 1:
        raise ValueError("first")
    return 7

@task(**every)
ASYNC def never():
    raise LookupError("no")

@flow
ASYNC def main():
    AWAIT second_time()
    try:
        AWAIT never()
    except LookupError:
        pass
    return told
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_task_hooks_hear_of_each_change(project: Project, kind: str):
    words = ("async", "await") if kind == "async" else ("", "")
    source = HOOKS.replace("ASYNC ", f"{words[0]} ".lstrip()).replace(
        "AWAIT ", f"{words[1]} ".lstrip()
    )
    if kind == "async":
        source = source.replace("def tell", "async def tell")
    project.write(source)
    outcome = project.run()
    assert value(outcome) == [
        ["running", "second_time", 1, None, ""],
        ["running", "second_time", 2, None, ""],
        ["completed", "second_time", 2, 7, ""],
        ["running", "never", 1, None, ""],
        ["failed", "never", 1, None, "no"],
    ]
    assert any(
        "the hook broken failed when second_time was completed" in text for text in outcome.logs()
    )
    assert outcome.outcomes() == ["completed", "failed"]


FLOW = """
def tell(change):
    with open("told", "a") as file:
        file.write(f"{change.state} {change.kind} {change.run.call} {change.value} {change.error}\\n")

@flow(on_running=tell, on_completion=tell, on_failure=tell, on_cancellation=tell)
def main(how: str):
    if how == "fail":
        raise ValueError("wrong")
    if how == "wait":
        print("here", flush=True)
        get_run_logger().info("here")
        import threading
        threading.Event().wait()
    return 5
"""


@pytest.mark.parametrize(
    ("how", "last"),
    [("pass", "completed flow root 5 None"), ("fail", "failed flow root None wrong")],
)
def test_flow_hooks_run_when_the_outcome_is_recorded(project: Project, how: str, last: str):
    project.write(FLOW)
    project.run({"how": how})
    assert (project.root / "told").read_text().splitlines() == ["running flow root None None", last]


def test_a_cancelled_flow_tells_its_hook(project: Project):
    project.write(FLOW)
    process = project.start({"how": "wait"})
    process.seen(lambda f: f["type"] == "log")
    process.cancel()
    assert process.finish().outcome == "cancelled"
    assert (project.root / "told").read_text().splitlines()[1].startswith("cancelled flow root")


def test_calls_have_names_of_their_own(project: Project):
    project.write(
        """
@task(task_run_name="load {table} of {day:%Y}")
def load(table, day):
    return run_context().call_run_name

@task(task_run_name=lambda bound: f"n={bound['n']}")
def count(n):
    return run_context().call_run_name

@task(task_run_name="no {such}")
def wrong():
    return run_context().call_run_name

@flow(flow_run_name="inner {n}")
def inner(n):
    return run_context().call_run_name

@flow
def main():
    from datetime import date
    day = date(2026, 1, 2)
    return [load("orders", day), *count.map([1, 2]).result(), wrong(), inner(3)]
"""
    )
    outcome = project.run()
    names = ["load orders of 2026", "n=1", "n=2", "", "inner 3"]
    assert value(outcome) == names
    assert sorted(f.get("run_name", "") for f in outcome.of("call.ended")) == sorted(names)
    assert any("the run name of wrong could not be made" in text for text in outcome.logs())


def test_prints_are_logged_where_asked(project: Project):
    project.write(
        """
import contextlib, io, sys

@task
def as_the_flow(n):
    print("task", n, sep="-")

@task(log_prints=False)
def not_here():
    print("plain")

@flow(log_prints=True)
def main():
    print("one\\ntwo")
    print("other", file=sys.stderr)
    as_the_flow(1)
    as_the_flow.submit(2).result()
    not_here()
    with contextlib.redirect_stdout(io.StringIO()) as caught:
        print("caught")
    return caught.getvalue()
"""
    )
    outcome = project.run()
    assert value(outcome) == "caught\n"
    calls = [f["call"] for f in outcome.of("call.ended", "as_the_flow")]
    assert [(f["text"], f["call"]) for f in outcome.of("log")] == [
        ("one", "root"),
        ("two", "root"),
        ("task-1", calls[0]),
        ("task-2", calls[1]),
    ]
    assert outcome.out == "plain\n"
    assert outcome.err == "other\n"
