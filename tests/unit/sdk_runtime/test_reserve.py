"""Disk space that is kept back: an attempt's own, that of a kept supervisor, and the common one."""

import os
from pathlib import Path

import pytest

from headway.runtime.reserve import SIZE, CommonReserve, Reserve, named, unnamed_in


def blocks(fd: int) -> int:
    return os.fstat(fd).st_blocks * 512


def test_a_named_reserve_takes_its_space_once_and_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "reserve"
    reserve = Reserve(lambda: named(str(path)))
    assert not path.exists(), "no file before it is needed"
    assert reserve.keep()
    assert reserve.keep(), "what it has it keeps"
    assert path.stat().st_size == SIZE
    assert reserve.release()
    assert not reserve.release(), "it was given back before"
    assert path.stat().st_size == 0
    assert reserve.facts_left > 0


def test_a_reserve_without_a_name_outlives_the_folder_it_was_made_in(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> int:
        made.append(unnamed_in(str(tmp_path / "r")))
        return made[-1]

    (tmp_path / "r").mkdir()
    reserve = Reserve(make)
    assert reserve.keep()
    (tmp_path / "r").rmdir()
    assert blocks(made[0]) >= SIZE
    assert reserve.release()
    assert blocks(made[0]) == 0
    assert reserve.keep(), "and takes it again, though nobody could make a file there"
    assert len(made) == 1


def test_the_common_reserve_goes_to_whoever_asks_first_and_is_filled_again(tmp_path: Path) -> None:
    common = CommonReserve.on_disk_of(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert common.release()
    assert not common.release()
    common.fill()
    assert common.release()
    common.close()
    assert not common.release(), "a process that left it has none"
    common.fill()


def test_where_no_file_can_be_made_there_is_no_common_reserve(tmp_path: Path) -> None:
    common = CommonReserve.on_disk_of(str(tmp_path / "nowhere"))
    common.fill()
    assert not common.release()


def test_disks_that_know_no_unnamed_files_are_served_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")
    common = CommonReserve.on_disk_of(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert common.release()
