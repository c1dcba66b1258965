"""Transactions on a whole Headway: cancelled, killed in the middle of the hooks, and gone on with by another attempt."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.eventually import eventually
from support.stack import Stack
from support.strikes import kill

STAGED = ["stage a", "stage b", "staged"]


class Work:
    """One run, and what its bodies and hooks did."""

    def __init__(self, headway: Stack, folder: Path, deployment: str = "staged") -> None:
        self.headway = headway
        self.log, self.gate, self.hooks = folder / "log", folder / "gate", folder / "hooks"
        self.log.touch()
        self.run = headway.start_run(
            deployment, log=str(self.log), gate=str(self.gate), hooks=str(self.hooks)
        )
        self.until("staged")

    def did(self) -> list[str]:
        return self.log.read_text().splitlines()

    def until(self, word: str, times: int = 1) -> None:
        eventually(lambda: self.did().count(word) >= times, what=f"{word} {times} times")

    def until_recorded(self) -> None:
        """Until both stages are on record: what a supervisor has not read when it is killed is executed again."""

        def both() -> bool:
            calls = self.headway.api("GET", f"/runs/{self.run}/tasks")["items"]
            return [call["name"] for call in calls if call["ended_at"]].count("stage") == 2

        eventually(both, seconds=60, what="both stages are on record")

    def cancel(self) -> None:
        self.headway.api("POST", f"/runs/{self.run}/cancel", {})

    def kill(self, attempt: int, part: str) -> None:
        victim = {
            "flow": self.headway.flow_process,
            "supervisor": self.headway.supervisor,
        }[part](self.run, attempt)
        assert victim is not None
        assert kill([victim])

    def ended(self) -> str:
        return str(self.headway.ended(self.run)["state"])


@pytest.fixture
def work(headway: Stack, tmp_path: Path) -> Work:
    return Work(headway, tmp_path)


def test_a_cancel_undoes_what_was_done(work: Work):
    work.hooks.touch()
    work.cancel()
    assert work.ended() == "cancelled"
    assert work.did() == [*STAGED, "remove b", "removed b", "remove a", "removed a"]


@pytest.mark.parametrize("part", ["flow", "supervisor"])
def test_killed_while_it_commits_the_next_attempt_goes_on(work: Work, part: str):
    work.gate.touch()
    work.until("publish a")
    work.until_recorded()
    work.kill(1, part)
    work.until("publish a", times=2)
    work.hooks.touch()
    assert work.ended() == "completed"
    assert work.did() == [*STAGED, "publish a", "staged", "publish a", "publish b"]


@pytest.mark.parametrize("part", ["flow", "supervisor"])
def test_killed_in_the_block_nothing_is_undone_and_the_next_attempt_commits(work: Work, part: str):
    work.hooks.touch()
    work.until_recorded()
    work.kill(1, part)
    work.until("staged", times=2)
    work.gate.touch()
    assert work.ended() == "completed"
    assert work.did() == [*STAGED, "staged", "publish a", "publish b"]


def test_killed_while_it_undoes_after_a_cancel_nobody_goes_on(work: Work):
    """A cancelled run has no next attempt: what was not undone stays, and a run made from it undoes it."""
    work.cancel()
    work.until("remove b")
    work.kill(1, "flow")
    assert work.ended() == "cancelled"
    assert work.did() == [*STAGED, "remove b"]
    work.hooks.touch()
    work.gate.touch()
    made = work.headway.api("POST", f"/runs/{work.run}/fork", {"verb": "resume"})
    ended = work.headway.ended(made["id"])
    told = work.did()[4:]
    assert told[1:5] == ["remove b", "removed b", "remove a", "removed a"], told
    assert ended["state"] == "completed", ended
    assert told[5:] == [*STAGED, "publish a", "publish b"]


def test_hooks_that_take_longer_than_the_grace_are_ended(headway: Stack, tmp_path: Path):
    work = Work(headway, tmp_path)
    begun = time.monotonic()
    work.cancel()
    assert work.ended() == "cancelled"
    print(f"the grace of a cancelled run's hooks: {time.monotonic() - begun:.1f} s")
    assert work.did() == [*STAGED, "remove b"]


def test_a_longer_grace_lets_hooks_end(headway: Stack, tmp_path: Path):
    work = Work(headway, tmp_path, "staged-patiently")
    assert headway.api("GET", "/deployments/staged-patiently")["cancel_grace_ms"] == 120_000
    work.cancel()
    work.until("remove b")
    # Longer than the others' five seconds: what is asked is that nobody has ended it.
    eventually(lambda: _age(work) > 7, what="seven seconds")
    work.hooks.touch()
    assert work.ended() == "cancelled"
    assert work.did() == [*STAGED, "remove b", "removed b", "remove a", "removed a"]


def _age(work: Work) -> float:
    """Seconds since the log was last written to."""
    return time.time() - work.log.stat().st_mtime
