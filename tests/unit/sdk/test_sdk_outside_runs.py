"""Outside a run decorated functions are plain functions; submit and map work on threads."""

import asyncio
import copy
import pickle
import threading
import warnings

import pytest

import headway
from headway import Future, NotInRun, as_completed, flow, run_context, task, unmapped, wait
from headway.pool import THREADS_MAX


@task(retries=5)
def double(n: int, plus: int = 0) -> int:
    if n < 0:
        raise ValueError(n)
    return 2 * n + plus


@task
async def fetch(n: int) -> int:
    await asyncio.sleep(0)
    return n


def test_a_call_is_a_plain_call():
    calls = []

    @task(retries=3)
    def bad():
        calls.append(1)
        raise ValueError("once")

    @flow(retries=3)
    def main(n: int) -> int:
        return double(n) + 1

    assert main(2) == 5
    with pytest.raises(ValueError, match="once"):
        bad()
    assert calls == [1]


async def test_an_async_call_is_a_plain_coroutine():
    assert await fetch(3) == 3


def test_there_is_no_run_context():
    with pytest.raises(NotInRun, match="headway run"):
        run_context()


def test_the_logger_is_an_ordinary_one():
    assert headway.get_run_logger().name == "headway.run"
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = headway.nothing_such  # type: ignore[attr-defined]


def test_submit_gives_a_future():
    future = double.submit(2)
    assert future.result(20) == 4
    assert future.done()
    assert future.exception() is None
    assert future.key == ""


def test_a_failure_stays_in_the_future():
    future = double.submit(-1)
    assert isinstance(future.exception(20), ValueError)
    with pytest.raises(ValueError, match="-1"):
        future.result()


def test_futures_are_arguments():
    nested = task(lambda value: value)
    a = double.submit(1)
    assert double.submit(a).result(20) == 4
    assert nested.submit([a, {"k": (a, 5)}]).result(20) == [2, {"k": (2, 5)}]


def test_arguments_without_futures_are_passed_as_they_are():
    identity = task(lambda value: value)
    value = {"a": [1, (2, object())]}
    assert identity.submit(value).result(20) is value


def test_map_goes_through_its_arguments():
    assert [f.result(20) for f in double.map([1, 2], plus=(10, 20))] == [12, 24]
    assert [f.result(20) for f in double.map(range(3), unmapped(1))] == [1, 3, 5]
    source = task(lambda: [1, 2])
    assert [f.result(20) for f in double.map(source.submit())] == [2, 4]


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "told"),
    [
        ((5,), {}, TypeError, "wrap it in unmapped"),
        (("text",), {}, TypeError, "argument 0 is str"),
        (({"a": 1},), {}, TypeError, "dict"),
        (([1, 2],), {"plus": [1]}, ValueError, "one length"),
        ((unmapped(1),), {}, ValueError, "at least one iterable"),
        ((), {}, ValueError, "none"),
    ],
)
def test_map_tells_what_it_cannot_spread(args, kwargs, error, told):
    with pytest.raises(error, match=told):
        double.map(*args, **kwargs)


def test_waiting_with_a_deadline():
    go = threading.Event()
    slow = task(go.wait)
    future = slow.submit(20)
    assert not future.wait(0)
    with pytest.raises(TimeoutError):
        future.result(0)
    quick = double.submit(1)
    quick.wait(20)
    assert wait([future, quick], timeout=0) == ([quick], [future])
    with pytest.raises(TimeoutError, match="1 calls"):
        list(as_completed([future, quick], timeout=0.01))
    go.set()
    assert wait([future, quick]).pending == []


def test_as_completed_gives_the_first_ended_first():
    gates = [threading.Event() for _ in range(3)]

    @task
    def gated(n: int) -> int:
        gates[n].wait(20)
        return n

    futures = gated.map(range(3))
    seen = []
    gates[2].set()
    for future in as_completed(futures):
        seen.append(future.result())
        for gate in gates[1::-1]:
            if not gate.is_set():
                gate.set()
                break
    assert seen == [2, 1, 0]


def test_many_nested_waits_do_not_starve_the_pool():
    leaf = task(lambda n: n)

    @task
    def branch(n: int) -> int:
        futures = leaf.map([n] * 3)
        return sum(f.result() for f in futures[:1]) + sum(
            f.result() for f in as_completed(futures[1:])
        )

    futures = branch.map(range(4 * THREADS_MAX))
    assert sum(f.result(60) for f in futures) == 3 * sum(range(4 * THREADS_MAX))


def test_chains_longer_than_the_pool():
    future: Future[int] = double.submit(0)
    for _ in range(3 * THREADS_MAX):
        future = double.submit(future, plus=1)
    assert future.result(60) == 2 ** (3 * THREADS_MAX) - 1


async def test_async_submit_runs_on_the_running_loop():
    future = fetch.submit(double.submit(2))
    assert not future.done()
    with pytest.raises(headway.ForgottenAwait):
        future.result()
    assert await future == 4
    assert await double.submit(fetch.submit(1)) == 2
    assert await asyncio.gather(*fetch.map([1, 2])) == [1, 2]


async def test_an_async_call_that_is_cancelled_ends_its_future():
    future = fetch.submit(1)
    future.discard()
    with pytest.raises(headway.Cancelled):
        await future


def test_async_submit_without_a_loop_runs_in_a_thread():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [f.result(20) for f in fetch.map([1, 2])] == [1, 2]


def test_context_variables_reach_the_threads():
    import contextvars

    who = contextvars.ContextVar("who", default="nobody")
    who.set("me")
    assert task(who.get).submit().result(20) == "me"


@task
def by_name() -> int:
    return 1


def test_tasks_are_pickled_by_name():
    assert pickle.loads(pickle.dumps(by_name)) is by_name
    assert copy.deepcopy([by_name]) == [by_name]
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(by_name.with_options(retries=1))
