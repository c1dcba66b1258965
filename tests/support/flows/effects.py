"""Flows whose task bodies leave a mark in a file: what was executed is read from there, not from our own events.

A mark is one line, written by one `write` on an O_APPEND descriptor: whole or not at all.
"""

import json
import os
import time

from headway import flow, run_context, task


def mark(path: str, what: str, **more: object) -> None:
    context = run_context()
    line = {
        "run": context.run,
        "fence": context.attempt,
        "what": what,
        "call": context.call,
        "try": context.try_number,
        **more,
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, (json.dumps(line) + "\n").encode())
    finally:
        os.close(descriptor)


@task
def step(path: str, n: int, seconds: float) -> int:
    mark(path, f"step-{n}")
    if seconds:
        time.sleep(seconds)
    return n * n


@task(retries=1)
def flaky(path: str, n: int) -> int:
    mark(path, f"flaky-{n}")
    if run_context().try_number == 1:
        raise ConnectionError(f"first try of {n}")
    return n


@task
def add(path: str, numbers: list[int]) -> int:
    mark(path, "add")
    return sum(numbers)


@flow
def inner(path: str, n: int, seconds: float) -> int:
    return add(path, [step(path, 100 + n + i, seconds) for i in range(3)])


@flow(retries=0)
def many_steps(path: str, steps: int = 12, mapped: int = 6, seconds: float = 0.02) -> int:
    """Steps one after another, two flaky ones, a sub-flow, a threaded map: a little of everything."""
    mark(path, "flow")
    squares = [step(path, n, seconds) for n in range(steps)]
    tried = [flaky(path, n) for n in range(2)]
    nested = inner(path, 0, seconds)
    futures = step.map([path] * mapped, [200 + n for n in range(mapped)], [seconds] * mapped)
    return add(path, squares + tried + [nested] + [f.result() for f in futures])


@flow
def one_step(path: str, seconds: float = 0.0) -> int:
    mark(path, "flow")
    return step(path, 1, seconds)


@flow
def waits_for(path: str, gate: str) -> str:
    """Runs until the file `gate` is there."""
    mark(path, "flow")
    while not os.path.exists(gate):  # noqa: PTH110 (a hundred looks a second)
        time.sleep(0.01)
    return "opened"


@flow
def waits_for_its_own(path: str, gate: str) -> str:
    """Each attempt runs until its own file, `gate` with its number behind, is there."""
    attempt = run_context().attempt
    mark(path, "flow")
    while not os.path.exists(f"{gate}.{attempt}"):  # noqa: PTH110 (as above)
        time.sleep(0.01)
    return f"opened in attempt {attempt}"
