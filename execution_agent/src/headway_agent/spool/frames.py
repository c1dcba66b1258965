"""frames.log and output.log, read by the agent while their supervisor writes them.

The format is that of the frame contract (headway_api/ipc/v1). What is read here is durable before it is handed out: a fact
that was sent and then lost in a power cut would leave the control plane with a seq that means something else.
"""

import fcntl
import json
import os
import struct
import threading
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HEADER = struct.Struct(">IIQ")
NUMBER = struct.Struct(">Q")
MAX_FRAME = 1 << 20
OUTCOMES = ("completed", "failed", "crashed", "cancelled", "refused", "suspended")
_CHUNK = 1 << 20
AT_HAND = 1 << 16
"""Bytes of a file that was just written, hence in memory: they are read within an event loop's turn."""
_MARK_EVERY = 256
_MARK_EVERY_BYTES = 256 << 10


class Record(NamedTuple):
    """One fact: its seq, its JSON as it lies in the file, and the file offset behind it."""

    n: int
    raw: bytes
    end: int


def encode_record(n: int, raw: bytes) -> bytes:
    return HEADER.pack(len(raw), zlib.crc32(raw, zlib.crc32(NUMBER.pack(n))), n) + raw


def decode_records(data: bytes, offset: int, n: int) -> Iterator[Record]:
    """The whole, sound records at the beginning of `data`, which lies at `offset` and should begin with record `n`."""
    at = 0
    while at + HEADER.size <= len(data):
        length, crc, number = HEADER.unpack_from(data, at)
        end = at + HEADER.size + length
        if number != n or length > MAX_FRAME or end > len(data):
            return
        raw = data[at + HEADER.size : end]
        if zlib.crc32(raw, zlib.crc32(NUMBER.pack(n))) != crc:
            return
        yield Record(n, raw, offset + end)
        at, n = end, n + 1


class Marks:
    """Remembers where some of the numbered items of a file end, so that reading need not begin at its beginning."""

    def __init__(self) -> None:
        self._numbers = [0]
        self._ends = [0]
        self.last = 0
        self.end = 0

    def passed(self, number: int, end: int) -> None:
        if number <= self.last:
            return
        self.last, self.end = number, end
        far = end - self._ends[-1] >= _MARK_EVERY_BYTES
        if far or number - self._numbers[-1] >= _MARK_EVERY:
            self._numbers.append(number)
            self._ends.append(end)

    def before(self, number: int) -> tuple[int, int]:
        """The nearest known item not behind `number`, and where it ends."""
        if number >= self.last:
            return self.last, self.end
        at = bisect_right(self._numbers, number) - 1
        return self._numbers[at], self._ends[at]


class FactLog:
    """The facts of one attempt, from any seq on. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.starting: dict[str, Any] | None = None
        self.ended: dict[str, Any] | None = None
        self.exited: dict[str, Any] | None = None
        self._marks = Marks()
        self._durable = 0
        self._lock = threading.Lock()

    @property
    def last_seq(self) -> int:
        return self._marks.last

    @property
    def size(self) -> int:
        """Where the last whole record ends."""
        return self._marks.end

    def news(self) -> int:
        """How many bytes lie behind what was read. Fast enough for an event loop."""
        return max(0, _size(self.path) - self._marks.end)

    def durable_to(self, end: int) -> None:
        """The supervisor says that it made the file durable up to there."""
        self._durable = max(self._durable, end)

    def is_at_hand(self, after_seq: int) -> bool:
        """Whether reading on takes less than handing it to a thread would: little to read, nothing to sync."""
        size = _size(self.path)
        return size <= self._durable and size - self._marks.before(after_seq)[1] <= AT_HAND

    def scan(self) -> int:
        """Reads on to the present end; the newest seq."""
        with self._lock:
            if self.news():
                for _ in self._records(self._marks.last):
                    pass
            return self._marks.last

    def read(self, after_seq: int, max_items: int, max_bytes: int) -> list[Record]:
        """Facts after a seq; at least one if there is one, whatever its size."""
        found: list[Record] = []
        size = 0
        with self._lock:
            for record in self._records(after_seq):
                size += len(record.raw)
                if found and (len(found) >= max_items or size > max_bytes):
                    break
                found.append(record)
        if found:
            self._make_durable(found[-1].end)
        return found

    def _records(self, after_seq: int) -> Iterator[Record]:
        number, offset = self._marks.before(after_seq)
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            size = AT_HAND
            while True:
                data = os.pread(fd, size, offset)
                before = offset
                for record in decode_records(data, offset, number + 1):
                    number, offset = record.n, record.end
                    self._note(record)
                    if record.n > after_seq:
                        yield record
                if len(data) < size:
                    return
                # A record larger than the chunk: look at more, up to what the largest record can take.
                size = _CHUNK if offset != before else size * 2
                if size > 2 * (MAX_FRAME + HEADER.size):
                    return
        finally:
            os.close(fd)

    def _note(self, record: Record) -> None:
        if record.n <= self._marks.last:
            return
        self._marks.passed(record.n, record.end)
        if record.n == 1 or b'"attempt.e' in record.raw:
            frame = _decode(record.raw)
            match frame.get("type"):
                case "attempt.starting" if _names_process(frame):
                    self.starting = frame
                case "attempt.ended" if frame.get("outcome") in OUTCOMES:
                    self.ended = frame
                case "attempt.exited":
                    self.exited = frame
                case _:
                    pass  # the text stood elsewhere in the frame, or somebody else wrote it

    def _make_durable(self, end: int) -> None:
        if end <= self._durable:
            return
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _sync(fd)
        finally:
            os.close(fd)
        self.durable_to(end)


class LineLog:
    """The lines of one attempt's output, from any line on. Half a line at the end is not there yet. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._marks = Marks()
        self._lock = threading.Lock()

    @property
    def last_line(self) -> int:
        return self._marks.last

    def news(self) -> int:
        """How many bytes lie behind what was read. Fast enough for an event loop."""
        return max(0, _size(self.path) - self._marks.end)

    def scan(self) -> int:
        """Reads on to the present end; the number of the last whole line."""
        with self._lock:
            if self.news():
                for _ in self._lines(self._marks.last):
                    pass
            return self._marks.last

    def read(self, after_line: int, max_items: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Lines after a line; at least one if there is one."""
        found: list[tuple[int, bytes]] = []
        size = 0
        with self._lock:
            for number, line in self._lines(after_line):
                size += len(line) + 1
                if found and (len(found) >= max_items or size > max_bytes):
                    break
                found.append((number, line))
        return found

    def _lines(self, after_line: int) -> Iterator[tuple[int, bytes]]:
        number, offset = self._marks.before(after_line)
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                number, offset = number + 1, offset + len(line)
                self._marks.passed(number, offset)
                if number > after_line:
                    yield number, line[:-1]


def protocol_of(path: Path) -> int:
    """What the supervisor that wrote this frames.log said that its readers must know; 1 where nothing is said."""
    try:
        with path.open("rb") as file:
            first = next(decode_records(file.read(AT_HAND), 0, 1), None)
    except FileNotFoundError:
        return 1
    said = _decode(first.raw).get("protocol") if first is not None else None
    return said if type(said) is int and said > 0 else 1


class WriterAlive(Exception):
    """Somebody holds the lock of the frames.log: its supervisor lives."""


def writer_alive(path: Path) -> bool:
    """Whether a supervisor holds the file. It holds the lock from before the file has its name until its death."""
    try:
        fd = _open_locked(path)
    except FileNotFoundError:
        return False
    except WriterAlive:
        return True
    os.close(fd)
    return False


def append_last(path: Path, frame: dict[str, Any]) -> int:
    """Writes the last fact in a dead supervisor's place, behind its last whole record, and gives its seq.

    Raises WriterAlive when the supervisor lives. Does nothing when the last fact is there already.
    """
    fd = _open_locked(path)
    try:
        log = FactLog(path)
        log.scan()
        if log.exited is None:
            os.ftruncate(fd, log.size)
            os.pwrite(fd, encode_record(log.last_seq + 1, _encode_last(frame)), log.size)
        _sync(fd)
        return log.scan()
    finally:
        os.close(fd)


def create_with(path: Path, frame: dict[str, Any]) -> None:
    """Makes a frames.log with one fact, for an attempt that never starts. FileExistsError when it was started."""
    unnamed = path.with_name(f"{path.name}.{os.getpid()}")
    fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, encode_record(1, _encode(frame)))
        _sync(fd)
        os.link(unnamed, path)
        sync_directory(path.parent)
    finally:
        unnamed.unlink()
        os.close(fd)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open_locked(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise WriterAlive(str(path)) from error
    return fd


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (asked for with each hint)
    except FileNotFoundError:
        return 0


def _sync(fd: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def _encode(frame: dict[str, Any]) -> bytes:
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def _decode(raw: bytes) -> dict[str, Any]:
    """The frame; an empty one for what is none. The attempt's own processes could write into the file."""
    try:
        frame = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return frame if isinstance(frame, dict) else {}


def _names_process(starting: dict[str, Any]) -> bool:
    numbers = (starting.get("pid"), starting.get("start_time"))
    return all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)


def _encode_last(frame: dict[str, Any]) -> bytes:
    """What it repeats of the attempt's end may make it larger than a record can be; then it goes without."""
    raw = _encode(frame)
    if len(raw) <= MAX_FRAME:
        return raw
    return _encode({k: v for k, v in frame.items() if k not in {"result", "error"}})
