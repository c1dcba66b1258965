"""Artifacts, metrics and events of flows, run in memory by the real engine."""

import asyncio
import threading
from itertools import pairwise

import pytest

import headway
from headway import OutputRefused, artifacts, emit_event, flow, metrics, sleep, task, transaction
from headway.runtime.outputs import MOST_POINTS, MOST_SERIES, thinned
from headway.testing import harness

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8


def test_every_kind_arrives_as_it_was_saved():
    @flow
    def leaves() -> None:
        artifacts.markdown("# Hi\0\ud800", key="text", description="what it is")
        artifacts.table([{"a": 1, "b": None}, {"b": "x"}], key="dicts")
        artifacts.table([["a", "b"], [1, float("nan")]], key="lists")
        artifacts.table({"a": [1, 2], 3: [2**60, object]}, key="columns")
        artifacts.link("https://bi.example/a?b=c", text="Dashboard", key="link")
        artifacts.image(PNG, key="image")
        artifacts.image("https://img.example/a.png", key="address")

    with harness() as h:
        saved = h.run(leaves).artifacts
    assert saved["text"].content == "# Hi\ufffd\ufffd"
    assert saved["text"].description == "what it is"
    assert saved["dicts"].content == {"columns": ["a", "b"], "rows": [[1, None], [None, "x"]]}
    assert saved["lists"].content == {"columns": ["a", "b"], "rows": [[1, "nan"]]}
    assert saved["columns"].content["rows"] == [[1, str(2**60)], [2, "<class 'object'>"]]
    assert saved["link"].content == {"url": "https://bi.example/a?b=c", "text": "Dashboard"}
    assert saved["image"].content == PNG
    assert saved["address"].content == {"url": "https://img.example/a.png"}


@pytest.mark.parametrize(
    ("save", "says"),
    [
        (lambda: artifacts.markdown("x" * 262_145), "save a link"),
        (lambda: artifacts.markdown(7), "takes a text"),
        (lambda: artifacts.markdown("x", key="Not A Slug"), "lower-case"),
        (lambda: artifacts.markdown("x", key="a" * 101), "at most 100"),
        (lambda: artifacts.markdown("x", key="-a"), "lower-case"),
        (lambda: artifacts.markdown("x", description="d" * 1001), "1000 characters"),
        (lambda: artifacts.markdown("\x01" * 200_000), "control characters"),
        (lambda: artifacts.table("rows"), "list of dicts"),
        (lambda: artifacts.table([{"a": 1}, [2]]), "all dicts or all lists"),
        (lambda: artifacts.table([["a"], [1, 2]]), "as many cells"),
        (lambda: artifacts.table({"a": [1], "b": []}), "same length"),
        (lambda: artifacts.table({"a": "text"}), "a list for each column"),
        (lambda: artifacts.table({str(n): [] for n in range(201)}), "the most is 200"),
        (lambda: artifacts.link("javascript:alert(1)"), "http or https"),
        (lambda: artifacts.link("https://"), "http or https"),
        (lambda: artifacts.link("https://[broken"), "http or https"),
        (lambda: artifacts.link("https://x.example/a b"), "http or https"),
        (lambda: artifacts.image(b"<svg onload=alert(1)>"), "PNG, JPEG, GIF or WebP"),
        (lambda: artifacts.progress(101), "0 to 100"),
        (lambda: artifacts.progress(float("nan")), "0 to 100"),
        (lambda: artifacts.progress(True), "0 to 100"),
        (lambda: metrics.record("", 1), "1 to 200"),
        (lambda: metrics.record("m", "many"), "takes a number"),
        (lambda: metrics.record("m", 1, step=-1), "whole number"),
        (lambda: metrics.record("m", 1, unit="u" * 21), "at most 20"),
        (lambda: emit_event("e", value=object()), "no JSON form"),
        (lambda: emit_event("e", value="x" * 70_000), "bytes"),
    ],
)
def test_what_cannot_be_kept_is_refused_where_it_is_saved(save, says):
    @flow
    def refused() -> None:
        save()

    with harness() as h:
        run = h.run(refused)
    assert isinstance(run.error, OutputRefused)
    assert says in str(run.error)


def test_outside_a_run_it_is_checked_and_goes_nowhere():
    bar = artifacts.progress(1)
    bar.update(2)
    artifacts.markdown("x")
    metrics.record("m", 1)
    emit_event("e", value={"n": 1})
    with pytest.raises(OutputRefused):
        bar.update(-1)


def test_a_replayed_body_leaves_nothing_twice():
    @task
    def step(n: int) -> int:
        artifacts.markdown(f"step {n}", key="step")
        metrics.record("steps", n)
        return n

    @flow
    def daily() -> None:
        for n in range(3):
            artifacts.markdown("same", key="report")
            metrics.record("loss", n)
            emit_event("done", key=str(n), value=n)
            step(n)
        sleep(3600)
        metrics.record("loss", 3)
        emit_event("done", key="last")

    with harness() as h:
        whole = h.run(daily)
        for run in (whole, *h.crashes(daily)):
            assert run.state == "completed"
            assert [event.key for event in run.emitted] == ["0", "1", "2", "last"]
            assert [one.content for one in run.saved if one.key == "report"] == ["same"] * 3
            assert run.metrics["loss"] == [0, 1, 2, 3]
            assert len({e["id"] for e in run.events if e["type"] == "event.emitted"}) == 4
    assert whole.metrics["steps"] == [0, 1, 2]


def test_points_of_a_task_are_told_before_its_end():
    """A crash right behind the end must not lose them: the task is not executed again."""

    @task
    def train() -> None:
        metrics.record("loss", 1)
        artifacts.progress(0, key="bar").update(100)

    @flow
    def daily() -> None:
        train()

    with harness() as h:
        run = h.run(daily, crash_after="train").again()
    assert run.metrics["loss"] == [1]
    assert run.artifacts["bar"].percent == 100


def test_points_of_a_later_try_take_the_place_of_the_earlier():
    tries = iter([False, True])

    @task(retries=1)
    def train() -> None:
        passes = next(tries)
        for n in range(3):
            metrics.record("loss", n + 10 * passes)
            if n == 1 and not passes:
                raise ValueError("diverged")

    @flow
    def daily() -> None:
        train()

    with harness() as h:
        run = h.run(daily)
    assert run.metrics["loss"] == [10, 11, 12]


def test_a_progress_tells_its_last_value_however_often_it_moves():
    @flow
    def daily() -> None:
        bar = artifacts.progress(description="rows")
        for n in range(10_000):
            bar.update(n / 100)

    with harness() as h:
        run = h.run(daily)
    told = [e["percent"] for e in run.events if e["type"] == "artifact.saved"]
    assert told[0] == 0 and told[-1] == 99.99
    assert len(told) < 10
    assert run.saved[0].percent == 99.99


def test_a_progress_does_not_go_back_when_a_new_attempt_repeats_it():
    @flow
    def daily() -> None:
        bar = artifacts.progress(key="bar")
        bar.update(100)
        sleep(3600)
        bar.update(50)

    with harness() as h:
        run = h.run(daily)
    told = [e["percent"] for e in run.events if e["type"] == "artifact.saved"]
    assert told[:2] == [0, 100]
    assert 0 not in told[1:]


def test_a_million_points_are_few_frames_and_say_how_many_they_were():
    @flow
    def daily() -> None:
        for n in range(100_000):
            metrics.record("rows", n % 1000 if n != 51_234 else 1e9)
        metrics.record("rows", float("inf"))

    with harness() as h:
        run = h.run(daily)
    [batch] = [e for e in run.events if e["type"] == "metrics.recorded"]
    assert batch["recorded"] == 100_001
    assert len(batch["values"]) <= MOST_POINTS
    assert max(batch["values"]) == 1e9 and min(batch["values"]) == 0
    assert batch["values"][-1] == 999
    assert all(a <= b for a, b in pairwise(batch["times"]))


def test_thinning_keeps_extremes_and_order():
    points = [(float(v), n, n) for n, v in enumerate([5, 1, 9, 5, 5, 5, 5, 5, 2])]
    assert [p[1] for p in thinned(points)] == [1, 2, 4, 7, 8] or [p[0] for p in thinned(points)][
        :2
    ] == [1, 9]
    assert thinned(points)[-1] == points[-1]


def test_too_many_metrics_and_mixed_steps_are_refused():
    @flow
    def many() -> None:
        for n in range(MOST_SERIES + 1):
            metrics.record(f"m{n}", n)

    @flow
    def mixed() -> None:
        metrics.record("m", 1, step=1)
        metrics.record("m", 2)

    with harness() as h:
        assert isinstance(h.run(many).error, OutputRefused)
        assert isinstance(h.run(mixed).error, OutputRefused)


def test_async_flows_threads_and_transactions():
    @task
    async def aio() -> None:
        await asyncio.sleep(0)
        artifacts.markdown("async", key="aio")

    @task
    def threaded() -> None:
        thread = threading.Thread(target=lambda: artifacts.markdown("thread", key="thread"))
        thread.start()
        thread.join()
        artifacts.markdown("task", key="task")

    @flow
    async def daily() -> None:
        await aio()
        threaded()
        async with transaction():
            emit_event("inside")

    with harness() as h:
        run = h.run(daily)
    assert run.state == "completed", run.error
    assert {"aio", "thread", "task"} <= run.artifacts.keys()
    assert [event.name for event in run.emitted] == ["inside"]


def test_the_package_has_them_without_an_import():
    assert headway.artifacts is artifacts
    assert headway.metrics is metrics


def test_the_context_has_the_parameters_of_the_run():
    @flow
    def daily(day: str, rows: int = 7) -> dict[str, object]:
        return dict(headway.run_context().parameters)

    with harness() as h:
        assert h.run(daily, day="2026-11-22").result() == {"day": "2026-11-22"}


def test_code_for_prefect_saves_the_same():
    from headway.compat import prefect

    @flow
    def daily() -> None:
        prefect.create_markdown_artifact("# Hi", key="text", description="d")
        prefect.create_table_artifact([[1, 2]], key="lists")
        prefect.create_table_artifact({"a": [1]}, key="columns")
        prefect.create_link_artifact("https://x.example", "there", key="link")
        prefect.create_image_artifact("https://x.example/a.png", key="image")
        handle = prefect.create_progress_artifact(1.0, key="bar")
        prefect.update_progress_artifact(handle, 90.0)
        prefect.emit_event("done", {"prefect.resource.id": "r1"}, payload={"n": 1})

    with harness() as h:
        run = h.run(daily)
    assert run.state == "completed", run.error
    assert run.artifacts["text"].content == "# Hi"
    assert run.artifacts["lists"].content == {"columns": ["1", "2"], "rows": [[1, 2]]}
    assert run.artifacts["bar"].percent == 90
    assert run.emitted == [("done", "r1", {"n": 1})]
