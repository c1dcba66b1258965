"""What a run can ask about itself beside its names: tags, the time it was made for, its page, the version of its flow."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from headway import flow, pause, run_context
from headway.child_runs import run_deployment
from headway.compat import prefect
from headway.testing import Harness, HarnessError
from support.flow_process import Project
from support.run_values import value

AT = datetime(2026, 11, 23, 3, 0, 0, 250_000, tzinfo=UTC)
STARTED = {
    "tags": ["nightly", "eu"],
    "due_at_us": round(AT.timestamp() * 1_000_000),
    "run_url": "https://headway.example/runs/run-1",
    "flow_version": "2026.11",
}
TELL = """
def told():
    c = run_context()
    return [list(c.tags), str(c.scheduled_time), c.run_url, c.flow_version]

@task
def ask():
    return told()

@flow(task_runner={runner}, version="next")
def main():
    return [told(), ask.submit().result()]
"""


@pytest.mark.parametrize("runner", ["ThreadRunner()", "ProcessRunner(1)"])
def test_flow_and_tasks_are_told_what_the_start_says(project: Project, runner: str) -> None:
    project.write(TELL.format(runner=runner))
    told = [
        ["nightly", "eu"],
        "2026-11-23 03:00:00.250000+00:00",
        "https://headway.example/runs/run-1",
        "2026.11",
    ]
    assert value(project.run(**STARTED)) == [told, told]


def test_an_older_agent_says_nothing_of_it(project: Project) -> None:
    project.write(TELL.format(runner="ThreadRunner()"))
    assert value(project.run()) == [[[], "None", "", "next"]] * 2


@flow(version="7", tags=["own"])
def asks(fail: bool = False) -> list[Any]:
    context = run_context()
    if fail and context.attempt == 1:
        raise ValueError("once")
    return [context.tags, context.scheduled_time, context.run_url, context.flow_version]


def test_a_test_says_tags_and_time_and_they_stay_over_attempts() -> None:
    h = Harness(tags=["a", "own"], scheduled_time=AT)
    retrying = asks.with_options(retries=1, retry_delay=60)
    run = h.run(retrying, fail=True)
    assert (len(run.attempts), run.result()) == (2, [("own", "a"), AT, "", "7"])
    h.scheduled_time = AT.astimezone(timezone(timedelta(hours=2)))
    assert h.run(asks).result()[1] == AT
    h.scheduled_time = None
    h.tags = []
    h.clock.advance(5)
    assert h.run(asks).result()[:2] == [("own",), h.clock.now()]


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(HarnessError, match="no zone"):
        Harness(scheduled_time=AT.replace(tzinfo=None)).run(asks)


def test_a_run_that_is_started_has_its_own_time_and_tags() -> None:
    wanted = datetime(2026, 1, 2, tzinfo=UTC)

    @flow
    def parent() -> object:
        return run_deployment("asks", scheduled_time=wanted, tags=["child"])

    run = Harness(deployments={"asks": asks}).run(parent)
    assert run.state == "completed", run.error
    [child] = run.children
    assert child.result()[:2] == [("own", "child"), wanted]


def test_a_run_that_waits_keeps_its_time() -> None:
    @flow
    def waits() -> datetime | None:
        pause(int, name="go")
        return run_context().scheduled_time

    h = Harness(scheduled_time=AT)
    run = h.run(waits)
    h.clock.advance(3600)
    assert run.answer("go", 1).result() == AT


def test_prefects_names_are_there() -> None:
    @prefect.flow(version="3")
    def main() -> list[Any]:
        of, deployment = prefect.runtime.flow_run, prefect.runtime.deployment
        said = [of.tags, of.scheduled_start_time, of.flow_version, of.ui_url]
        return [*said, deployment.version]

    run = Harness(tags=["t"], scheduled_time=AT).run(main)
    assert run.result() == [["t"], AT, "3", "", "3"]
    outside = prefect.runtime.flow_run
    assert (outside.tags, outside.scheduled_start_time) == ([], None)
