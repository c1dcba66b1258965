"""A flow that maps quick calls, which are reported as ranges: each execution leaves its name in `log`; the one named in `broken` fails."""

from __future__ import annotations

import os
from pathlib import Path

from headway import flow, task, unmapped, wait


@task
def item(n: int, log: str, broken: str) -> int:
    _execute(f"item{n}", log, broken)
    return n


@task
def summed(parts: list[int], log: str, broken: str) -> int:
    _execute("summed", log, broken)
    return sum(parts)


@task(task_run_name="item {n} by name")
def called(n: int) -> int:
    return n


def _execute(name: str, log: str, broken: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, f"{name}\n".encode())
    os.close(descriptor)
    if broken and Path(broken).read_text() == name:
        raise ValueError(f"{name} is broken")


@flow
def mapped(log: str, broken: str, items: int) -> int:
    futures = item.map(range(items), unmapped(log), unmapped(broken))
    wait(futures)  # so that all are executed, whichever fails
    called(7)
    return summed([future.result() for future in futures], log, broken)
