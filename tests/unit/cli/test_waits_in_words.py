"""What the command says of a run that is suspended, of its parent, and of runs whose ids begin alike."""

from typing import Any

import pytest

from headway.cli import run_text
from headway.cli.plain import Narrator
from headway.cli.progress import Progress
from headway.cli.verbs.artifacts import _of_keys

CHILD, OTHER = "01a205f3-ce7e-7ba0-977e-403bbb77d97d", "01a205f3-ce7d-7400-8000-000000000000"


def told(*events: dict[str, Any]) -> list[str]:
    run = {"state": "paused", "tasks": {"total": 0, "completed": 0, "skipped": 0, "failed": 0}}
    news = [
        {"occurred_at": "2026-11-22T12:00:00.000Z", "stream": "run/0199", **event}
        for event in [{"type": "AttemptStarting", "data": {}}, *events]
    ]
    shot = Progress(run, new_events=news, new_lines=[])
    return list(Narrator(from_the_start=True).lines(shot, 0.0))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("sleeping", "sleeps"),
        ("input", "waits for an answer"),
        ("event", "waits for an event"),
        ("run", "waits for a run"),
        ("a newer reason", "a newer reason"),
    ],
)
def test_a_watched_run_says_that_it_is_suspended_and_why(reason: str, words: str) -> None:
    [line] = told({"type": "RunSuspended", "data": {"reason": reason, "fence": 1}})
    assert line.endswith(f"* suspended: {words}")


def test_a_watched_run_says_that_its_wait_is_over() -> None:
    answered, resumed = told(
        {"type": "RunAnswered", "data": {}}, {"type": "RunResumed", "data": {}}
    )
    assert answered.endswith("* has what it waited for")
    assert resumed.endswith("* goes on")


def test_who_waits_for_a_run_is_led_to_that_run_and_not_to_release() -> None:
    waiting = {"id": CHILD, "state": "paused", "reason": "run"}
    assert run_text.next_step(waiting) == f"headway runs ls --parent {CHILD}"
    held = {"id": CHILD, "state": "paused", "reason": "lost"}
    assert run_text.next_step(held) == f"headway runs release {CHILD}"


def test_artifacts_name_runs_of_one_minute_so_that_each_is_found() -> None:
    rows = _of_keys(
        [
            {
                "key": "report", "version": 1, "kind": "markdown", "run": run,
                "saved_at": "2026-11-22T12:00:00Z", "description": "", "percent": None, "withheld": False,
            }
            for run in (CHILD, OTHER)
        ]
    )  # fmt: skip
    named = [row[4] for row in rows]
    assert named[0] != named[1]
    assert CHILD.startswith(str(named[0]))
