"""The flow of the kill matrix in async code, which the engine executes by other ways: the same calls, and the same marks."""

import asyncio
from typing import Any

from matrix import Doomed, _begin, breath, commit, effect, grind, undo

from headway import ProcessRunner, flow, run_context, task, transaction


@task
async def step(path: str, n: int) -> int:
    effect(path, f"step-{n}")
    await asyncio.sleep(0)
    return n * n


@task(durable="sync")
async def sure(path: str, n: int) -> int:
    effect(path, f"sure-{n}")
    return n


@task
async def quick(path: str, n: int) -> int:
    """So many follow each other at once that the supervisor may tell of them together."""
    effect(path, f"quick-{n}")
    return n


@task(retries=1)
async def flaky(path: str, n: int) -> int:
    effect(path, f"flaky-{n}")
    if run_context().try_number == 1:
        raise ConnectionError(f"first try of {n}")
    return n


@task
async def add(path: str, numbers: list[int]) -> int:
    effect(path, "add")
    return sum(numbers)


@flow
async def inner(path: str) -> int:
    return await add(path, [await step(path, 100 + n) for n in range(3)])


@task(on_commit=commit, on_rollback=undo)
async def write(path: str, where: str) -> str:
    effect(path, f"write-{where}", "step")
    await asyncio.sleep(0)
    return where


@flow(retries=6, task_runner=ProcessRunner(2))
async def matrix(path: str, plan: list[dict[str, Any]], agent: str) -> int:
    _begin(path, plan, agent)
    total = sum([await step(path, n) for n in range(6)])
    total += sum([await sure(path, n) for n in range(3)])
    total += sum([await quick(path, n % 10) for n in range(20)])
    total += sum([await flaky(path, n) for n in range(2)])
    total += sum(await asyncio.gather(*(breath(path, n) for n in (0, 1, 1, 2, 2, 2))))
    async with transaction("load") as work:
        work.set("path", path)
        for where in ("a", "b", "c"):
            await write(path, where)
    total += await inner(path)
    total += sum([await each for each in grind.map([path] * 4, range(4))])
    try:
        async with transaction("doomed") as work:
            work.set("path", path)
            await write(path, "x")
            await write.submit(path, "y")
            raise Doomed
    except Doomed:
        effect(path, "caught")
    return await add(path, [total, *[await step(path, 200 + n) for n in range(3)]])
