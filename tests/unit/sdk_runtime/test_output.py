import errno
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.runtime import output
from headway.runtime.framing import MAX_FRAME, FrameSplitter, FrameTooLarge, pack
from headway.runtime.output import MAX_TEXT, LineSplitter, OutputLog, cut_text


def split(*chunks: bytes) -> list[str]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.finish()


def test_lines_and_a_rest() -> None:
    assert split(b"a\nb", b"c\r\n", b"\n", b"end") == ["a", "bc", "", "end"]


def test_a_character_cut_between_two_reads_is_whole() -> None:
    assert split("é".encode()[:1], "é".encode()[1:] + b"\n") == ["é"]


def test_what_is_no_text_becomes_text() -> None:
    assert split(b"a\xffb\0c\n") == ["a\ufffdb\ufffdc"]


@pytest.mark.parametrize("extra", [0, 1, 1000])
def test_a_line_is_cut_and_says_by_how_much(extra: int) -> None:
    (line,) = split(b"x" * MAX_TEXT + b"y" * extra + b"\n")
    assert line == "x" * MAX_TEXT + (f" ... [cut {extra} bytes]" if extra else "")


def test_the_cut_splits_no_character() -> None:
    (line,) = split(b"x" * (MAX_TEXT - 1) + "é".encode() + b"more")
    assert line == "x" * (MAX_TEXT - 1) + " ... [cut 6 bytes]"


def test_a_long_line_takes_no_memory() -> None:
    splitter = LineSplitter()
    for _ in range(100):
        assert splitter.feed(b"x" * 100_000) == []
    assert len(splitter._kept) <= MAX_TEXT + 1
    (line,) = splitter.feed(b"\n")
    assert line.endswith(f"[cut {10_000_000 - MAX_TEXT} bytes]")


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_where_reads_end_changes_nothing(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert split(*pieces) == split(data)


@given(st.binary(max_size=100_000))
def test_splitting_agrees_with_the_whole(data: bytes) -> None:
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert split(data) == [cut_text_of(line) for line in expected]


def cut_text_of(line: bytes) -> str:
    return output.clean_text(line[: MAX_TEXT + 1], len(line))


def test_text_of_a_log_call_is_cut_too() -> None:
    assert cut_text("é" * MAX_TEXT).endswith(f" ... [cut {MAX_TEXT} bytes]")
    assert cut_text("a\ud800b") == "a?b"


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def add(log: OutputLog, *texts: str) -> None:
    for text in texts:
        log.add(at_us=1, source="stdout", level="INFO", text=text)


def test_lines_are_numbered(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "output.log")
    add(log, "a", "b\nc")
    assert log.write(2, room=True)
    add(log, "d")
    assert log.write(2, room=True)
    assert not log.write(2, room=True)
    assert [(entry["line"], entry["text"]) for entry in entries(tmp_path / "output.log")] == [
        (1, "a"),
        (2, "b\nc"),
        (3, "d"),
    ]
    assert log.lines == 3
    log.close()


def test_without_room_lines_are_dropped_and_counted(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "output.log")
    add(log, "a", "b")
    assert not log.write(2, room=False)
    add(log, "c")
    assert not log.write(2, room=False)
    assert log.write(3, room=True), "the gap is told without a new line"
    add(log, "d")
    log.write(4, room=True)
    gap, last = entries(tmp_path / "output.log")
    assert (gap["line"], gap["dropped"], gap["source"]) == (1, 3, "log")
    assert (last["line"], last["text"]) == (2, "d")
    log.close()


@pytest.mark.parametrize("room", range(0, 300, 7))
def test_a_full_disk_keeps_whole_lines_and_counts_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    log = OutputLog(tmp_path / "output.log")
    real = os.write
    left = room

    def write(fd: int, data: memoryview) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "full")
        done = real(fd, data[:left])
        left -= done
        return done

    monkeypatch.setattr(output.os, "write", write)
    add(log, "one", "two", "three")
    log.write(2, room=True)
    left = 1 << 20
    add(log, "four")
    log.write(3, room=True)
    found = entries(tmp_path / "output.log")
    assert [entry["line"] for entry in found] == list(range(1, len(found) + 1))
    kept = sum(1 for entry in found if "dropped" not in entry)
    assert kept + sum(entry.get("dropped", 0) for entry in found) == 4
    assert found[-1]["text"] == "four"
    log.close()


def test_frames_come_out_as_they_went_in() -> None:
    data = pack({"type": "a"}) + pack({"type": "b", "text": "é" * 1000})
    for size in (1, 3, 7, len(data)):
        splitter = FrameSplitter()
        out = [
            frame
            for at in range(0, len(data), size)
            for frame in splitter.feed(data[at : at + size])
        ]
        assert [json.loads(frame)["type"] for frame in out] == ["a", "b"]


def test_a_frame_beyond_the_limit_is_refused() -> None:
    with pytest.raises(FrameTooLarge, match=str(MAX_FRAME)):
        FrameSplitter().feed((MAX_FRAME + 1).to_bytes(4, "big"))
