"""Flows that wait: each execution of a step leaves a line in `log`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from headway import (
    WaitTimedOut,
    flow,
    pause,
    sleep,
    suspend,
    task,
    wait_for_event,
    wait_for_input,
)


@dataclass
class Decision:
    """What the person says."""

    approve: bool
    comment: str = ""


@task
def step(log: str, name: str) -> str:
    with Path(log).open("a") as file:
        file.write(f"{name}\n")
    return name


@flow
def asks(log: str) -> str:
    step(log, "figures")
    decision = wait_for_input(Decision, title="Publish the figures?", name="approve")
    step(log, "publish" if decision.approve else "drop")
    return decision.comment


@flow
def asks_for_a_day(log: str) -> str:
    step(log, "before")
    return wait_for_input(date, title="Which day?", name="day").isoformat()


@flow
def sleeps(log: str, seconds: float, suspend_after: float = 0.0) -> str:
    step(log, "before")
    sleep(seconds, suspend_after=suspend_after)
    return step(log, "after")


@flow
def suspends() -> None:
    suspend()


@flow
def listens(key: str) -> list[object]:
    return [wait_for_event("file arrived", key=key), wait_for_event("file arrived", key=key)]


@flow
async def hears(key: str, number: int) -> int:
    return number + len(str(wait_for_event("file arrived", key=key)))


@flow
async def hears_much(key: str, count: int) -> int:
    return sum(await asyncio.gather(*(hears(key, number) for number in range(count))))


@flow
def pauses(log: str, timeout: float = 600.0) -> str:
    step(log, "figures")
    in_memory = object()
    try:
        decision = pause(Decision, title="Publish the figures?", name="approve", timeout=timeout)
    except WaitTimedOut:
        return step(log, "nobody")
    assert in_memory
    step(log, "publish" if decision.approve else "drop")
    return decision.comment
