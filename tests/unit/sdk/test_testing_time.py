"""headway.testing: time limits under a clock that the test moves."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from headway import TimedOut, flow, task
from headway.testing import Clock, Harness, harness

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def h():
    with harness() as made:
        yield made


def after(seconds: float) -> datetime:
    return datetime.fromtimestamp(START.timestamp() + seconds, UTC)


@pytest.mark.parametrize("submitted", [False, True])
@pytest.mark.parametrize("how", ["time.sleep", "advance"])
def test_a_task_that_takes_too_long_is_stopped_when_its_time_is_up(
    h: Harness, how: str, submitted: bool
):
    went_on = []

    @task(timeout=5, retries=1, retry_delay=10)
    def slow():
        time.sleep(60) if how == "time.sleep" else h.clock.advance(60)
        went_on.append(1)

    @flow
    def main():
        return (slow.submit().result if submitted else slow)()

    run = h.run(main)
    assert isinstance(run.error, TimedOut)
    assert (run.call("slow").tries, went_on) == (2, [])
    assert h.clock.now() == after(20)


def test_who_stays_within_the_limit_is_not_stopped(h: Harness):
    @task(timeout=5)
    def quick():
        h.clock.advance(4.999999)
        return "in time"

    @flow(timeout=60)
    def main():
        return [quick() for _ in range(3)]

    assert h.run(main).result() == ["in time"] * 3


def test_the_limit_around_counts_for_all_below_it(h: Harness):
    @task(timeout=30)
    def inner():
        time.sleep(20)

    @flow(timeout=50)
    def middle():
        inner()
        inner()
        inner()

    @flow
    def main():
        middle()

    run = h.run(main)
    assert "middle took longer than its timeout of 50 s" in str(run.error)
    assert [call.state for call in run.calls] == ["failed", "completed", "completed", "cancelled"]
    assert h.clock.now() == after(50)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_flows_own_limit_fails_its_attempt(h: Harness, kind: str):
    cleaned = []

    @task(retries=100, retry_delay=10)
    def fails():
        raise ValueError

    @flow(timeout=25, name="main")
    def main():
        try:
            fails()
        finally:
            cleaned.append(1)

    @flow(timeout=25, name="main")
    async def async_main():
        try:
            await asyncio.sleep(1000)
        finally:
            cleaned.append(1)

    run = h.run(main if kind == "sync" else async_main)
    assert isinstance(run.error, TimedOut)
    assert (run.state, cleaned) == ("failed", [1])
    assert h.clock.now() == after(25)


def test_async_tasks_have_limits_too(h: Harness):
    @task(timeout=5)
    async def slow(seconds: float):
        await asyncio.sleep(seconds)
        return seconds

    @flow
    async def main():
        futures = [slow.submit(n) for n in (4, 6)]
        await asyncio.wait([asyncio.ensure_future(future.settled()) for future in futures])
        return [futures[0].result(), type(futures[1].exception()).__name__]

    assert h.run(main).result() == [4, "TimedOut"]
    assert h.clock.now() == after(5)

    @flow
    def from_sync():
        return slow.submit(6).result()

    assert isinstance(h.run(from_sync).error, TimedOut)


def test_sleep_outside_a_run_is_real(h: Harness):
    before = time.monotonic()
    time.sleep(0.01)
    assert time.monotonic() - before >= 0.01
    assert h.clock.now() == START


def test_a_clock_goes_on_only():
    clock = Clock(START)
    clock.advance(0.1)
    assert clock.now_us() == round(START.timestamp() * 1e6) + 100_000
    for wrong in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="0 or more seconds"):
            clock.advance(wrong)
    clock.advance(0)
    assert clock.monotonic() == pytest.approx(0.1)
