"""What the demonstration proves of the run that it made: its report against the log, by the same API that everybody has."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway_control_plane.main.profile import Profile

_TIMEOUT = 30.0
REPORT = "inventory.html"


class CheckFailed(Exception):
    """Something is not as it should be; the message says what."""


@dataclass(frozen=True, slots=True)
class Made:
    """The demonstration's run, as the API shows it once it has ended."""

    profile: Profile
    run: str
    folder: Path

    @property
    def report(self) -> Path:
        return self.folder / REPORT

    def get(self, path: str) -> Any:
        request = urllib.request.Request(  # noqa: S310  # our own URL, from the profile
            f"{self.profile.url}/api/v1{path}",
            headers={"Authorization": f"Bearer {self.profile.token}"},
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            return json.load(answer)

    def tasks(self) -> Iterator[dict[str, Any]]:
        """Every task of the run, page by page; waits until the view has read the run's end."""
        cursor = self.get(f"/runs/{self.run}")["cursor"]
        after = ""
        while True:
            page = self.get(f"/runs/{self.run}/tasks?limit=200&min_offset={cursor}{after}")
            yield from page["items"]
            if not page["next"]:
                return
            after = f"&after={page['next']}"


def run_completed(made: Made) -> None:
    found = made.get(f"/runs/{made.run}")
    if found["state"] != "completed":
        raise CheckFailed(f"it is {found['state']}: {found['reason_text']}")


def tasks_equal_the_inventory(made: Made) -> None:
    counted = json.loads((made.folder / "inventory.json").read_text(encoding="utf-8"))["tasks"]
    # Quick calls of one name stand in one item, which says how many they are.
    shown = sum(
        task["calls"]
        for task in made.tasks()
        if task["kind"] == "task" and task["status"] == "completed"
    )
    if shown != counted:
        raise CheckFailed(f"the inventory counts {counted}, the log shows {shown}")


def one_task_was_retried(made: Made) -> None:
    retried = [task["name"] for task in made.tasks() if task["tries"] == 2]
    if retried != ["read_environment"]:
        raise CheckFailed(f"tasks with two tries: {retried}")


def report_is_the_one_in_the_log(made: Made) -> None:
    digest = hashlib.sha256(made.report.read_bytes()).hexdigest()
    logged = [task["result"]["digest"] for task in made.tasks() if task["name"] == "render_report"]
    if logged != [digest]:
        raise CheckFailed(f"the file has {digest}, the log says {logged}")
