import errno
import os
from pathlib import Path

import pytest

from headway.runtime import frames_log
from headway.runtime.frames_log import (
    HEADER,
    START,
    FramesLogBroken,
    Position,
    Writer,
    read,
    read_from,
)
from support.frames_golden import FRAMES, LOG


def written(path: Path, frames: list[bytes]) -> Writer:
    writer = Writer.create(path)
    writer.append(frames)
    assert writer.commit()
    return writer


def test_the_file_is_the_golden_one(tmp_path: Path) -> None:
    path = tmp_path / "frames.log"
    written(path, FRAMES).close()
    assert path.read_bytes() == LOG
    assert [n for n, _ in read(path)] == [1, 2, 3]
    assert [record.raw for record in read_from(path)] == FRAMES


def test_numbers_are_given_at_once_and_nothing_is_written_before_commit(tmp_path: Path) -> None:
    path = tmp_path / "frames.log"
    writer = Writer.create(path)
    assert list(writer.append([b"{}", b"{}"])) == [1, 2]
    assert list(writer.append([b"{}"])) == [3]
    assert list(read(path)) == []
    assert writer.commit()
    assert not writer.commit(), "nothing is waiting"
    assert len(list(read(path))) == 3
    writer.close()


def test_only_one_creates_it(tmp_path: Path) -> None:
    writer = Writer.create(tmp_path / "frames.log")
    with pytest.raises(FileExistsError):
        Writer.create(tmp_path / "frames.log")
    assert [path.name for path in tmp_path.iterdir()] == ["frames.log"]
    writer.close()


def test_a_live_writer_keeps_others_out(tmp_path: Path) -> None:
    writer = Writer.create(tmp_path / "frames.log")
    with pytest.raises(BlockingIOError):
        Writer.reopen(tmp_path / "frames.log")
    writer.close()
    Writer.reopen(tmp_path / "frames.log").close()


@pytest.mark.parametrize("kept", range(len(LOG) + 1))
def test_a_tail_torn_at_any_byte_is_cut_and_written_over(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "frames.log"
    path.write_bytes(LOG[:kept])
    whole = list(read_from(path))
    assert [record.raw for record in whole] == FRAMES[: len(whole)]
    writer = Writer.reopen(path)
    assert writer.append([b'{"type":"new"}']) == range(len(whole) + 1, len(whole) + 2)
    writer.commit()
    writer.close()
    assert [record.raw for record in read_from(path)] == [*FRAMES[: len(whole)], b'{"type":"new"}']


def test_what_lay_behind_the_damage_never_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "frames.log"
    old = [b'{"old":1}', b'{"old":2}']
    writer = Writer.create(path)
    writer.append(old)
    writer.commit()
    writer.close()
    damaged = bytearray(path.read_bytes())
    damaged[HEADER.size] ^= 0x40
    path.write_bytes(damaged)
    writer = Writer.reopen(path)
    writer.append([b'{"new":1}'])  # as long as the one in whose place it comes
    writer.commit()
    writer.close()
    assert [record.raw for record in read_from(path)] == [b'{"new":1}']


@pytest.mark.parametrize("at", range(len(LOG)))
def test_a_damaged_byte_ends_the_log_there(tmp_path: Path, at: int) -> None:
    path = tmp_path / "frames.log"
    damaged = bytearray(LOG)
    damaged[at] ^= 0x40
    path.write_bytes(damaged)
    sound = [record.raw for record in read_from(path)]
    assert sound == FRAMES[: len(sound)]
    assert len(sound) < len(FRAMES)


def test_a_log_of_zeros_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "frames.log"
    path.write_bytes(bytes(4096))
    assert list(read(path)) == []


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "frames.log"
    writer = written(path, FRAMES)
    last = list(read_from(path))[-1]
    writer.append([b'{"a":1}'])
    writer.commit()
    (new,) = read_from(path, Position(last.end, last.n + 1))
    assert (new.n, new.frame()) == (4, {"a": 1})
    writer.close()


def test_records_larger_than_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "frames.log"
    big = [b'"' + b"x" * (frames_log.MAX_FRAME - 2) + b'"' for _ in range(4)]
    written(path, [b"{}", *big, b"{}"]).close()
    assert [len(record.raw) for record in read_from(path, START)] == [
        2,
        *[frames_log.MAX_FRAME] * 4,
        2,
    ]


class FullDisk:
    """os.write that takes so many bytes in all, then says ENOSPC until it is given room."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.write = os.write

    def __call__(self, fd: int, data: bytes | memoryview) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "full")
        done = self.write(fd, bytes(data[: self.room]))
        self.room -= done
        return done


@pytest.mark.parametrize("room", range(len(LOG)))
def test_a_full_disk_loses_nothing_and_leaves_whole_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "frames.log"
    writer = Writer.create(path)
    disk = FullDisk(room)
    monkeypatch.setattr(frames_log.os, "write", disk)
    writer.append(FRAMES)
    with pytest.raises(OSError, match="full"):
        writer.commit()
    whole = [record.raw for record in read_from(path)]
    assert whole == FRAMES[: len(whole)]
    assert path.stat().st_size == sum(16 + len(raw) for raw in whole), "no half a record stays"
    disk.room = 1 << 20
    writer.append([b'{"late":1}'])
    assert writer.commit()
    assert [record.raw for record in read_from(path)] == [*FRAMES, b'{"late":1}']
    assert writer.pending_bytes == 0
    writer.close()


def test_a_failed_fsync_is_never_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer.create(tmp_path / "frames.log")
    calls = []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(frames_log.os, "fdatasync", fail)
    for _ in range(2):
        writer.append([b"{}"])
        with pytest.raises(FramesLogBroken):
            writer.commit()
    assert len(calls) == 1
    writer.close()
