"""Flows that start runs of other deployments: each execution of a step leaves a line in `log`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from headway import (
    RunRefused,
    flow,
    run_deployment,
    run_deployment_async,
    submit_deployment,
    task,
    wait_for_input,
)


@task
def step(log: str, name: str) -> str:
    with Path(log).open("a") as file:
        file.write(f"{name}\n")
    return name


@flow
def part(log: str, n: int, hold: str = "") -> dict[str, int]:
    """With `hold` it goes on when that file is there."""
    step(log, f"part-{n}")
    while hold and not Path(hold).exists():
        time.sleep(0.02)
    return {"n": n}


@flow
def breaks() -> None:
    raise ValueError("broken on purpose")


@flow
def parent(log: str, n: int = 1, hold: str = "") -> int:
    step(log, "before")
    child = run_deployment("part", {"log": log, "n": n, "hold": hold}, tags=["made"])
    step(log, child.state)
    return int(child.result()["n"])


@flow
def many(log: str, count: int) -> list[int]:
    children = [submit_deployment("part", {"log": log, "n": n}) for n in range(count)]
    return [child.result().result()["n"] for child in children]


@flow
async def gathers(log: str, count: int) -> list[str]:
    wanted = [run_deployment_async("part", {"log": log, "n": n}) for n in range(count)]
    return [child.state for child in await asyncio.gather(*wanted)]


@flow
def starts(
    name: str, parameters: dict[str, Any] | None = None, timeout: float | None = None
) -> Any:
    """What became of one child, or why there is none."""
    try:
        child = run_deployment(name, parameters, timeout=timeout)
    except RunRefused as error:
        return {"refused": error.code, "problems": [list(each) for each in error.problems]}
    return {"id": child.id, "state": child.state, "error": child.error_class}


@flow
def deeper(level: int = 0) -> int:
    """Starts itself without end."""
    try:
        child = run_deployment("deeper", {"level": level + 1})
    except RunRefused:
        return level
    return int(child.result())


@flow
def asks_first(log: str) -> int:
    """Its child ends while it waits for a person."""
    future = submit_deployment("part", {"log": log, "n": 7})
    wait_for_input(bool, title="Go on?", name="go on")
    return int(future.result().result()["n"])


@flow
def asks_and_works(log: str, hold: str) -> int:
    """Has asked for its child, and still has its process; with `hold` there it begins to wait."""
    future = submit_deployment("part", {"log": log, "n": 5}, tags=["made"])
    step(log, "asked")
    while not Path(hold).exists():
        time.sleep(0.02)
    return int(future.result().result()["n"])


@flow
def graded(log: str, n: int, trouble: str, go: str = "") -> dict[str, int]:
    """A child: waits for `go`, then breaks as long as the file `trouble` says so."""
    step(log, f"part-{n}")
    while go and not Path(go).exists():
        time.sleep(0.02)
    if "child" in Path(trouble).read_text():
        raise ValueError("broken on purpose")
    return {"n": n}


@flow
def orders(log: str, trouble: str, go: str = "", unwaited: bool = False, version: int = 1) -> str:
    """A step, a child, a step. `trouble` says where it breaks; `inner` is a sub-flow around the child."""
    step(log, "before")
    state = inner(log, trouble, go, unwaited=unwaited)
    breaks_at("after", trouble)
    step(log, f"after-{version}")
    return state


@flow
def inner(log: str, trouble: str, go: str, *, unwaited: bool) -> str:
    breaks_at("asking", trouble)
    name = "nobody" if "refused" in Path(trouble).read_text() else "graded"
    given = {"log": log, "n": 1, "trouble": trouble, "go": go}
    future = submit_deployment(name, given, timeout=0 if unwaited else None)
    breaks_at("waiting", trouble)
    child = future.result()
    if not unwaited:
        child.result()
    return child.state


def breaks_at(place: str, trouble: str) -> None:
    if place in Path(trouble).read_text():
        raise RuntimeError(f"broken at {place}")


@flow
def moves(
    log: str, trouble: str, go: str, hold: str, timeout: float | None = None, times: int = 1
) -> list[list[str]]:
    """Asks for children that are alike, and has its process until `hold` is there: what each of them has come to."""
    given = {"log": log, "n": 1, "trouble": trouble, "go": go}
    futures = [submit_deployment("graded", given, timeout=timeout) for _ in range(times)]
    step(log, "asked")
    while not Path(hold).exists():
        time.sleep(0.02)
    children = [future.result() for future in futures]
    return [[child.id, child.state] for child in children]
