"""headway.testing: runs in memory, crashed and gone on with, answered and asserted on."""

import asyncio
import builtins
import logging
import random
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from headway import (
    ParameterError,
    ProcessRunner,
    StateChange,
    clock,
    flow,
    get_run_logger,
    run_context,
    task,
)
from headway.context import current_call
from headway.testing import Harness, HarnessError, harness
from support.summing import double, sums


@pytest.fixture
def h():
    with harness() as made:
        yield made


def test_a_run_tells_what_happened(h: Harness):
    run = h.run(sums, n=2)
    assert run.result() == 2
    assert (run.state, run.error) == ("completed", None)
    assert [(call.name, call.state, call.value) for call in run.calls] == [
        ("double", "completed", 0), ("double", "completed", 2), ("add", "completed", 2),
    ]  # fmt: skip
    assert run.call("double", at=1).tries == 1
    assert run.events[0]["type"] == "attempt.started"
    assert run.events[-1]["outcome"] == "completed"
    assert run.facts == len(run.events) - 1
    assert current_call() is None


def test_what_is_not_there_is_an_error_that_says_what_is(h: Harness):
    run = h.run(sums, n=2)
    with pytest.raises(HarnessError, match="its calls: double, add"):
        run.call("doubel")
    with pytest.raises(HarnessError, match=r"call\('double', at=0\)"):
        run.call("double")
    with pytest.raises(HarnessError, match="none at position 7"):
        run.call("double", at=7)
    with pytest.raises(HarnessError, match="waits for: nothing"):
        run.answer("approve")
    with pytest.raises(HarnessError, match="no wait 'approve'"):
        run.expire("approve")


def test_a_failure_is_what_the_flow_raised(h: Harness):
    @task
    def load():
        raise KeyError("gone")

    @flow
    def main():
        load()

    run = h.run(main)
    assert run.state == "failed"
    with pytest.raises(KeyError, match="gone"):
        run.result()
    assert run.call("load").error["class"] == "KeyError"
    assert run.call("load").error["traceback"][-1]["function"] == "load"
    with pytest.raises(HarnessError, match="no result that was kept"):
        _ = run.call("load").value


def test_parameters_are_checked_as_those_of_any_run(h: Harness):
    @flow
    def main(day: date, n: int = 1):
        return f"{day:%d.%m.} {n}"

    assert h.run(main, day=date(2026, 11, 22)).result() == "22.11. 1"
    run = h.run(main, {"day": "yesterday"}, n="many")
    assert run.state == "refused"
    with pytest.raises(ParameterError, match="n: "):
        run.result()
    with pytest.raises(HarnessError, match="'day' has no JSON form"):
        h.run(main, day=object())


def test_retries_of_tasks_and_flows_take_no_time_but_the_clocks(h: Harness):
    tries = []

    @task(retries=3, retry_delay=[60, 600])
    def load():
        tries.append(h.clock.now())
        if len(tries) < 4:
            raise OSError(f"no {len(tries)}")

    @flow(retries=1, retry_delay=timedelta(days=1))
    def main():
        load()
        if run_context().attempt == 1:
            raise ValueError("once")
        return run_context().attempt

    run = h.run(main)
    assert run.result() == 2
    assert run.attempts[0].call("load").delays == [60, 600, 600]
    assert [error["message"] for error in run.attempts[0].call("load").errors] == [
        "no 1", "no 2", "no 3",
    ]  # fmt: skip
    assert run.call("load").state == "skipped"
    assert run.executions("load") == 4
    assert h.clock.now() == datetime(2026, 1, 2, 0, 21, tzinfo=UTC)
    assert tries[-1] - tries[0] == timedelta(seconds=1260)


def test_logs_prints_and_hooks(h: Harness, caplog: pytest.LogCaptureFixture):
    changes: list[StateChange] = []

    @task
    def shout():
        get_run_logger().warning("low %s", "disk")

    @flow(log_prints=True, on_completion=changes.append)
    def main():
        print("hello")
        shout()

    run = h.run(main)
    assert [line[:3] for line in run.logs] == [
        ("INFO", "hello", "main"), ("WARNING", "low disk", "shout"),
    ]  # fmt: skip
    assert [change.state for change in changes] == ["completed"]
    assert "low disk" in caplog.text


def test_what_a_run_replaces_is_put_back(h: Harness):
    root = logging.getLogger()
    before = (print, time.sleep, clock.now_us, random.getstate(), root.level, list(root.handlers))

    @flow(log_prints=True)
    def main():
        random.random()
        raise ValueError

    for crash_after in (None, 1):
        h.run(main, crash_after=crash_after)
    after = (
        builtins.print, time.sleep, clock.now_us, random.getstate(), root.level, list(root.handlers)
    )  # fmt: skip
    assert after == before


def test_chance_is_the_same_each_time():
    @task(retries=1, retry_delay=10, retry_jitter=0.5)
    def draw():
        if run_context().try_number == 1:
            raise ValueError
        return random.random()

    @flow
    def main():
        return draw()

    def told(seed: int) -> tuple[float, list[float]]:
        with harness(seed=seed) as h:
            run = h.run(main)
            return run.result(), run.call("draw").delays

    assert told(1) == told(1) != told(2)


def test_submitted_calls_are_executed_in_order_or_by_threads():
    from threading import Barrier

    order = []
    meeting = Barrier(2, timeout=60)

    @task
    def note(n: int):
        order.append(n)

    @task
    def meet():
        return meeting.wait() >= 0

    @flow(task_runner=ProcessRunner(2))
    def main(together: bool):
        note.map(range(50))
        return [meet.submit(), meet.submit()] if together else []

    with harness() as h:
        h.run(main, together=False)
        assert order == list(range(50))
    with harness(threads=4) as h:
        assert h.run(main, together=True).result() == [True, True]


def test_async_flows_call_sync_and_async_tasks(h: Harness):
    @task
    async def wait(n: float) -> float:
        await asyncio.sleep(n)
        return n

    @flow
    async def main() -> list[float]:
        slow = wait.submit(50)
        doubled = double.submit(slow)
        both = await asyncio.gather(wait(5), wait(70))
        in_thread = await asyncio.to_thread(sum, [1, 2])
        return [*both, await doubled, in_thread]

    run = h.run(main)
    assert run.result() == [5, 70, 100, 3]
    assert h.clock.now() >= datetime(2026, 1, 1, 0, 1, 10, tzinfo=UTC)


def test_results_that_are_kept_on_disk_before_the_call_ends(h: Harness):
    @task(durable="sync")
    def pay():
        return "x" * 1_000_000

    @flow
    def main():
        return len(pay())

    run = h.run(main, crash_after="pay")
    assert run.again().result() == 1_000_000
    assert len(run.call("pay").value) == 1_000_000


def test_who_cannot_run_a_flow_is_told_so(h: Harness):
    with pytest.raises(HarnessError, match="decorate it with @flow"):
        h.run(double, n=1)  # type: ignore[call-overload]

    @flow
    def nested():
        return h.run(sums)

    with pytest.raises(HarnessError, match="part of a run already"):
        h.run(nested).result()

    async def on_loop():
        h.run(sums)

    with pytest.raises(HarnessError, match="an event loop runs here"):
        asyncio.run(on_loop())
    with pytest.raises(ValueError, match="zone"), harness(now=datetime(2026, 1, 1)):  # noqa: DTZ001
        pass
    with pytest.raises(ValueError, match="threads"), harness(threads=-1):
        pass
    assert h.run(sums, n=1).result() == 0


def test_an_interrupt_and_a_skip_are_the_tests_own(h: Harness):
    @flow
    def main(error: str):
        raise KeyboardInterrupt if error == "interrupt" else pytest.skip.Exception("not here")

    with pytest.raises(KeyboardInterrupt):
        h.run(main, error="interrupt")
    with pytest.raises(pytest.skip.Exception):
        h.run(main, error="skip")
    assert h.run(sums, n=1).result() == 0


def test_nothing_is_written(h: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    h.run(sums)
    assert list(tmp_path.iterdir()) == []
