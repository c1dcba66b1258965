"""What an attempt does before its first line, in the order on which its durability stands (sdk/adr/0006)."""

import os
from pathlib import Path
from typing import Any

import pytest

from headway.runtime.attempt_files import announce
from headway.runtime.frames_log import Writer, read
from headway.runtime.start import no_faults


def test_the_name_comes_before_the_record_and_the_sync_after_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def spied(name: str) -> None:
        original: Any = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            done.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    for name in ("link", "write", "fdatasync"):
        spied(name)
    path = tmp_path / "frames.log"
    announce(
        {"run": "r", "fence": 1, "run_dir": str(tmp_path)}, Writer.create(path), "1", no_faults
    )
    assert done == ["link", "write", "fdatasync"]
    assert [frame["type"] for _, frame in read(path)] == ["attempt.starting"]


@pytest.mark.parametrize("point", ["before_starting_durable", "after_starting"])
def test_the_points_of_failure_lie_around_the_sync(tmp_path: Path, point: str) -> None:
    seen: dict[str, int] = {}
    path = tmp_path / "frames.log"
    writer = Writer.create(path)
    announce(
        {"run": "r", "fence": 1, "run_dir": str(tmp_path)},
        writer,
        "1",
        lambda at: seen.update({at: writer.durable}),
    )
    assert (seen[point] > 0) is (point == "after_starting")
