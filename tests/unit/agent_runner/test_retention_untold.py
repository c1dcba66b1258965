"""Directories of runs that nobody tells us the end of."""

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from headway_agent.runner import start_file
from headway_agent.spool import frames, retention

NOW = 2_000_000_000 * 1_000_000


@dataclass
class Attempt:
    is_held: bool = False
    closed_at_us: int | None = NOW
    forgotten_at_us: int | None = None


def test_a_run_is_over_when_it_was_forgotten_or_long_untold() -> None:
    old = Attempt(closed_at_us=NOW - retention.UNTOLD_US)
    assert not retention.is_over([Attempt()], NOW)
    assert retention.is_over([Attempt(forgotten_at_us=NOW)], NOW)
    assert not retention.is_over([Attempt(forgotten_at_us=NOW), Attempt()], NOW)
    assert retention.is_over([old], NOW)
    assert not retention.is_over([old, Attempt()], NOW), "its last attempt is what counts"
    assert not retention.is_over([Attempt(is_held=True, forgotten_at_us=NOW)], NOW)


def test_old_directories_that_nobody_knows_go(tmp_path: Path) -> None:
    for name in ("known", "young", "old", "alive"):
        run_dir = tmp_path / name / "1"
        run_dir.mkdir(parents=True)
        frames.create_with(run_dir / "frames.log", {"type": "attempt.exited"})
    long_ago = (NOW - retention.UNTOLD_US) / 1_000_000
    for name in ("known", "old", "alive"):
        for path in (tmp_path / name / "1" / "frames.log", tmp_path / name):
            os.utime(path, (long_ago, long_ago))
    os.utime(tmp_path / "young" / "1" / "frames.log", (NOW / 1e6, NOW / 1e6))
    lock = frames._open_locked(tmp_path / "alive" / "1" / "frames.log")
    retention.delete_strangers(tmp_path, {"known"}, NOW)
    os.close(lock)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alive", "known", "young"]


def test_what_an_earlier_deletion_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".deleted-r" / "1").mkdir(parents=True)
    (tmp_path / "r" / "1").mkdir(parents=True)
    retention.delete_run(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("total", "free", "low"),
    [
        (24 << 20, 2 << 20, False),
        (24 << 20, 1 << 20, True),
        (1 << 40, 600 << 20, False),
        (1 << 40, 400 << 20, True),
    ],
)
def test_a_disk_is_low_by_its_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, total: int, free: int, *, low: bool
) -> None:
    usage = SimpleNamespace(total=total, free=free)
    monkeypatch.setattr(retention.shutil, "disk_usage", lambda _: usage)
    assert retention.is_low(tmp_path) == low


def test_an_assignment_of_a_newer_agent_is_read() -> None:
    kept = {
        "key": ["r", 1],
        "run_name": "n",
        "flow": "f",
        "deployment": "d",
        "environment": "e",
        "entrypoint": "m:f",
        "parameters": {},
        "of_tomorrow": 1,
    }
    assert start_file.from_json(kept).key == ("r", 1)
