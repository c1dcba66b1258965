import fcntl
import json
import os
from pathlib import Path

import pytest

from headway_agent.spool import frames
from headway_agent.spool.frames import (
    FactLog,
    LineLog,
    WriterAlive,
    append_last,
    create_with,
    encode_record,
    writer_alive,
)
from support.frames_golden import FRAMES, LOG

EXITED = {"type": "attempt.exited", "at_us": 1, "outcome": "crashed", "cause": "supervisor lost"}


def log_of(path: Path, data: bytes) -> FactLog:
    path.write_bytes(data)
    log = FactLog(path)
    log.scan()
    return log


def many(count: int, size: int = 0) -> list[bytes]:
    return [
        json.dumps({"type": "call.ended", "i": i, "pad": "x" * size}).encode()
        for i in range(1, count + 1)
    ]


def records(raws: list[bytes]) -> bytes:
    return b"".join(encode_record(n, raw) for n, raw in enumerate(raws, 1))


def test_the_golden_file_is_read(tmp_path: Path) -> None:
    log = log_of(tmp_path / "frames.log", LOG)
    assert records(FRAMES) == LOG
    assert [(record.n, record.raw) for record in log.read(0, 10, 1 << 20)] == list(
        enumerate(FRAMES, 1)
    )
    assert log.starting is not None
    assert log.starting["run"] == "r"


@pytest.mark.parametrize("kept", range(len(LOG) + 1))
def test_a_torn_tail_is_not_read_until_it_is_whole(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "frames.log"
    log = log_of(path, LOG[:kept])
    seen = log.last_seq
    assert [record.raw for record in log.read(0, 10, 1 << 20)] == FRAMES[:seen]
    path.write_bytes(LOG)
    assert log.scan() == 3
    assert [record.raw for record in log.read(seen, 10, 1 << 20)] == FRAMES[seen:]


@pytest.mark.parametrize("kept", range(len(LOG) + 1))
def test_the_last_fact_is_written_behind_the_last_whole_record(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "frames.log"
    whole = log_of(path, LOG[:kept]).last_seq
    assert append_last(path, EXITED) == whole + 1
    assert append_last(path, EXITED) == whole + 1, "a second time it is there already"
    log = FactLog(path)
    assert log.scan() == whole + 1
    assert log.exited == EXITED
    assert path.stat().st_size == log.size


def test_any_seq_can_be_read_from(tmp_path: Path) -> None:
    raws = many(2000, size=100)
    log = log_of(tmp_path / "frames.log", records(raws))
    for after in (0, 1, 255, 256, 257, 1000, 1999):
        assert [record.n for record in log.read(after, 3, 1 << 20)] == [
            n for n in range(after + 1, after + 4) if n <= 2000
        ]
    assert log.read(2000, 3, 1 << 20) == []
    assert log.read(9999, 3, 1 << 20) == []


def test_large_records_cross_the_chunks(tmp_path: Path) -> None:
    raws = [b'"' + b"x" * (frames.MAX_FRAME - 2) + b'"'] * 3
    log = log_of(tmp_path / "frames.log", records([b"{}", *raws, b"{}"]))
    assert log.last_seq == 5


def test_what_is_handed_out_was_made_durable_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(tmp_path / "frames.log", LOG)
    synced = []
    monkeypatch.setattr(frames.os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_size))
    log.read(0, 2, 1 << 20)
    log.read(0, 2, 1 << 20)
    assert synced == [len(LOG)]
    log.read(2, 2, 1 << 20)
    assert len(synced) == 2


def test_words_in_a_frame_are_no_facts(tmp_path: Path) -> None:
    raw = json.dumps(
        {"type": "call.ended", "name": '"attempt.exited"', "note": "attempt.ended"}
    ).encode()
    log = log_of(tmp_path / "frames.log", records([b"{}", raw]))
    assert log.exited is None
    assert log.ended is None


def test_a_file_that_is_not_there_has_no_facts(tmp_path: Path) -> None:
    log = FactLog(tmp_path / "frames.log")
    assert log.scan() == 0
    assert log.read(0, 10, 10) == []
    assert not writer_alive(tmp_path / "frames.log")


def test_the_lock_tells_a_living_writer(tmp_path: Path) -> None:
    path = tmp_path / "frames.log"
    path.write_bytes(LOG)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert writer_alive(path)
        with pytest.raises(WriterAlive):
            append_last(path, EXITED)
    assert not writer_alive(path)
    assert path.read_bytes() == LOG


def test_a_log_with_one_fact_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "frames.log"
    create_with(path, EXITED)
    assert FactLog(path).scan() == 1
    with pytest.raises(FileExistsError):
        create_with(path, EXITED)
    assert [entry.name for entry in tmp_path.iterdir()] == ["frames.log"]


def test_lines_are_numbered_and_half_a_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    log = LineLog(path)
    assert log.scan() == 0
    path.write_bytes(b'{"line":1}\n{"line":2}\n{"li')
    assert log.scan() == 2
    assert log.read(0, 10, 1 << 20) == [(1, b'{"line":1}'), (2, b'{"line":2}')]
    with path.open("ab") as file:
        file.write(b'ne":3}\n')
    assert log.read(2, 10, 1 << 20) == [(3, b'{"line":3}')]
    assert log.last_line == 3


def test_lines_come_in_bounded_pieces(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"".join(b"%d\n" % n for n in range(1, 1001)))
    log = LineLog(path)
    assert [number for number, _ in log.read(500, 3, 1 << 20)] == [501, 502, 503]
    assert len(log.read(0, 1000, 10)) == 5
    assert len(log.read(0, 1000, 1)) == 1
    assert log.read(700, 1, 100) == [(701, b"701")]


def test_what_was_read_to_its_end_is_not_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most looks come when nothing was added."""
    log = log_of(tmp_path / "frames.log", LOG)
    output = tmp_path / "output.log"
    output.write_bytes(b"one\n")
    lines = LineLog(output)
    lines.scan()
    opened: list[object] = []
    real = os.open
    monkeypatch.setattr(frames.os, "open", lambda *a: opened.append(a[0]) or real(*a))
    monkeypatch.setattr(Path, "open", lambda path, *_: opened.append(path) or real(path, 0))
    assert (log.scan(), lines.scan()) == (3, 1)
    assert opened == []
    monkeypatch.undo()
    with output.open("ab") as file:
        file.write(b"two\n")
    with log.path.open("ab") as file:
        file.write(encode_record(4, b"{}"))
    assert (log.scan(), lines.scan()) == (4, 2)
