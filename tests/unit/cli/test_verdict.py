"""The line that ends a wait, with sums of tasks that may lag behind the end."""

from typing import Any

import pytest

from headway.cli.client import Client, Json
from headway.cli.errors import CommandError
from headway.cli.progress import Progress, Watch
from headway.cli.run_text import verdict
from headway.cli.settings import Profile

SUMS = {"total": 4, "completed": 3, "skipped": 1, "failed": 0}


@pytest.fixture(autouse=True)
def _profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_API_URL", "http://127.0.0.1:1")


class Answers(Client):
    """Answers reads of tasks with `counts`; without them the view lags."""

    def __init__(self, counts: dict[str, int] | None) -> None:
        super().__init__(Profile("http://127.0.0.1:1", "token"))
        self.counts = counts

    def get(self, path: str, **query: Any) -> Any:
        assert query["min_offset"] == "1:7"
        if self.counts is None:
            raise CommandError("The projection has come to 1:3, you asked for 1:7.")
        return {"counts": self.counts}


def ended(**more: Any) -> Json:
    run = {
        "id": "0199",
        "cursor": "1:7",
        "state": "completed",
        "reason_text": "",
        "started_at": "2026-11-22T12:00:00Z",
        "duration_us": 0,
        "tasks": SUMS,
    }
    return {**run, **more}


def settled(client: Client) -> str:
    run = ended(tasks={**SUMS, "total": 2, "completed": 1})
    watch = Watch(client, run, timeout=None)
    watch._settle(Progress(run))
    client.http.close()
    return verdict(run)


def test_the_last_sums_are_shown():
    assert settled(Answers(SUMS)) == "completed after 0 ms · 4/4 tasks"


def test_sums_that_lag_behind_say_so():
    assert settled(Answers(None)) == "completed after 0 ms · 2/2 tasks so far: counting goes on"


def test_a_run_without_tasks_says_nothing_of_them():
    none = {"total": 0, "completed": 0, "skipped": 0, "failed": 0}
    assert verdict(ended(tasks=none, tasks_behind=True)) == "completed after 0 ms"
