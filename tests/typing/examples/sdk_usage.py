"""Users' code as type checkers see it. Each must refuse the lines marked `wrong`, and no other."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, assert_type

from headway import (
    INPUTS,
    SOURCE,
    CachePolicy,
    Future,
    Futures,
    ProcessRunner,
    StateChange,
    ThreadRunner,
    TimedOut,
    TransactionStep,
    allow_failure,
    as_completed,
    dag_flow,
    exponential,
    flow,
    run_context,
    task,
    transaction,
    unmapped,
    wait,
)
from headway.graphs import Step
from headway.testing import harness


@task
def double(n: int, plus: int = 0) -> int:
    return 2 * n + plus


@task(
    retries=3,
    retry_delay=[1, timedelta(seconds=2)],
    retry_jitter=0.2,
    retry_on=(OSError, TimedOut),
    key=lambda bound: str(bound["name"]),
)
def greet(name: str) -> str:
    return f"hello {name}"


@task(retry_delay=exponential(1, longest=60), retry_on=lambda task, error: "again" in str(error))
async def fetch(url: str) -> bytes:
    return url.encode()


def tell(change: StateChange) -> None:
    assert_type(change.error, BaseException | None)


@task(
    timeout=timedelta(minutes=5), task_run_name="load {table}", on_failure=[tell], log_prints=True
)
def load(table: str) -> dict[str, list[int]]:
    return {table: [1]}


def by_day(bound: Mapping[str, Any]) -> str | None:
    return str(bound["day"])


def undo(step: TransactionStep) -> None:
    assert_type(step.error, BaseException | None)


@task(
    cache=assert_type(INPUTS + SOURCE - "size", CachePolicy) + by_day,
    cache_expires=timedelta(days=1),
    on_commit=lambda step: print(step.value),
    on_rollback=[undo],
)
def rates(day: str, size: int = 1) -> float:
    with transaction() as work:
        work.set("day", day)
    return 1.0


@flow(retries=2, on_lost="hold", task_runner=ThreadRunner(max_workers=8), on_crashed=tell)
def main(day: str) -> list[int]:
    assert_type(double(1), int)
    assert_type(greet.with_options(retries=0)(day), str)
    _ = assert_type(double.submit(1), Future[int])
    assert_type(double.submit(1).result(), int)
    assert_type(double.with_options(name="twice", timeout=3).submit(1).result(), int)
    _ = assert_type(double.map([1, 2], unmapped(3)), Futures[int])
    assert_type(double.map([1, 2]).result(), list[int])
    assert_type(load.map(["a"])[0].result(), dict[str, list[int]])
    assert_type(fetch.submit("u").result(), bytes)
    assert_type(fetch.map(["u"])[0].result(), bytes)
    assert_type(run_context().attempt, int)
    future = double.submit(double.submit(1), wait_for=[allow_failure(greet.submit("x"))])
    assert_type(wait([future]).done, list[Future[int]])
    for ended in as_completed([future]):
        assert_type(ended.result(), int)
    double("x")  # wrong
    double(1, minus=2)  # wrong
    task(retries="many")  # wrong
    task(retrys=3)  # wrong
    flow(task_runner=8)  # wrong
    flow(cancel_grace="long")  # wrong
    task(on_failure=lambda: None)  # wrong
    task(cache="INPUTS")  # wrong
    task(on_commit=lambda: None)  # wrong
    assert_type(rates(day), float)
    return [future.result()]


@flow(task_runner=ProcessRunner(), cancel_grace=timedelta(minutes=2))
async def asynchronous(day: str) -> str:
    assert_type(await fetch("u"), bytes)
    assert_type(await fetch.submit("u"), bytes)
    assert_type(await double.submit(1), int)
    assert_type(await double.map([1, 2]), list[int])
    one, two = await asyncio.gather(fetch("u"), fetch.submit("u"))
    assert_type(one, bytes)
    assert_type(two, bytes)
    return day


assert_type(main("2026-09-21"), list[int])
assert_type(main.with_options(timeout=60)("2026-09-21"), list[int])
main(5)  # wrong

with harness() as h:
    assert_type(h.run(main, day="2026-09-21").result(), list[int])
    assert_type(h.run(asynchronous, {"day": "2026-09-21"}).again().result(), str)
    h.run(double)  # wrong

with dag_flow("nightly", retries=2) as dag:
    last = dag.step(greet, "x")
    assert_type(dag.step(double, dag.param("n", int)) >> [dag.step(load, "t")] >> last, Step)
    dag.step(double, 1, trigger="sometimes")  # wrong
assert_type(dag.flow(n=1), dict[str, Any])
