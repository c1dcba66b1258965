"""frames.log: an attempt's facts, in order, each with a length, a checksum and its number.

A record is `u32 length` (of the JSON), `u32 crc32` (of `n` and the JSON), `u64 n`, then the JSON; numbers are
big-endian. One writer, append-only. The log ends at the first record that is short, damaged or out of turn.
"""

import contextlib
import fcntl
import json
import os
import struct
import sys
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

HEADER = struct.Struct(">IIQ")
NUMBER = struct.Struct(">Q")
MAX_FRAME = 1 << 20
_CHUNK = 1 << 20
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class FramesLogBroken(OSError):
    """The kernel refused to make the log durable. A second try could report success for lost data, so nobody tries."""


class Record(NamedTuple):
    """One record: its number, its JSON as it lies in the file, and the file offset behind it."""

    n: int
    raw: bytes
    end: int

    def frame(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.raw)
        return frame


class Position(NamedTuple):
    """A place between two records: the file offset, and the number of the next record."""

    offset: int
    n: int


START = Position(offset=0, n=1)


def encode_frame(frame: dict[str, Any]) -> bytes:
    return _encode(frame).encode(errors="replace")


def encode_record(n: int, raw: bytes) -> bytes:
    crc = zlib.crc32(raw, zlib.crc32(NUMBER.pack(n)))
    return HEADER.pack(len(raw), crc, n) + raw


def decode_records(data: bytes, start: Position) -> Iterator[Record]:
    """The whole, sound records at the beginning of `data`, which was read at `start`."""
    at, n = 0, start.n
    while at + HEADER.size <= len(data):
        length, crc, number = HEADER.unpack_from(data, at)
        body = at + HEADER.size
        if number != n or length > MAX_FRAME or body + length > len(data):
            return
        raw = data[body : body + length]
        if zlib.crc32(raw, zlib.crc32(NUMBER.pack(n))) != crc:
            return
        at = body + length
        yield Record(n, raw, start.offset + at)
        n += 1


def read_from(path: str | Path, start: Position = START) -> Iterator[Record]:
    """Records from a position to the present end. To go on later: `Position(record.end, record.n + 1)`."""
    with Path(path).open("rb") as file:
        position = start
        size = _CHUNK
        while True:
            file.seek(position.offset)
            data = file.read(size)
            before = position
            for record in decode_records(data, position):
                yield record
                position = Position(record.end, record.n + 1)
            if len(data) < size:
                return
            # A record larger than the chunk: look at twice as much, up to what the largest record can take.
            size = _CHUNK if position != before else size * 2
            if size > 2 * (MAX_FRAME + HEADER.size):
                return


def read(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every fact of the file with its number."""
    return ((record.n, record.frame()) for record in read_from(path))


class Writer:
    """The one writer of a frames.log. Holds the file's lock as long as it lives: a free lock means a dead writer."""

    def __init__(self, fd: int, position: Position = START) -> None:
        self._fd = fd
        self._end = position.offset
        self._next = position.n
        self._pending: deque[bytes] = deque()
        self.pending_bytes = 0
        self._unsynced = False
        self._broken = False
        self.durable = position.offset
        """Where the part of the file that was made durable ends."""

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Creates the file; FileExistsError when somebody else did, for then the attempt is theirs."""
        # It gets its name when it is locked already: nobody may see it free and take its writer for dead.
        unnamed = f"{path}.{os.getpid()}"
        fd = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.link(unnamed, path)
        except BaseException:
            os.close(fd)
            raise
        finally:
            os.unlink(unnamed)  # noqa: PTH108 - for each attempt, where a Path costs more than the call
        return cls(fd)

    @classmethod
    def reopen(cls, path: str | Path) -> Self:
        """Goes on with a file whose writer died, after cutting what it left half-written. BlockingIOError while it lives."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            position = START
            for record in read_from(path):
                position = Position(record.end, record.n + 1)
            os.ftruncate(fd, position.offset)
            os.lseek(fd, position.offset, os.SEEK_SET)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd, position)

    @property
    def last(self) -> int:
        """The number of the newest record, written or pending."""
        return self._next - 1

    def append(self, frames: Sequence[bytes]) -> range:
        """Takes encoded frames and gives their numbers. They are not in the file before `commit`."""
        first = self._next
        if not frames:  # as most often: whoever holds facts back is asked in each turn
            return range(first, first)
        for raw in frames:
            record = encode_record(self._next, raw)
            self._pending.append(record)
            self.pending_bytes += len(record)
            self._next += 1
        return range(first, self._next)

    def commit(self) -> bool:
        """Makes all appended frames durable; False when there was none.

        An OSError of the write itself (a full disk) keeps what could not be written, so that a later commit can succeed.
        """
        if self._broken:
            raise FramesLogBroken("frames.log could not be made durable earlier")
        if not self._pending and not self._unsynced:
            return False
        self._unsynced = True
        self._write()
        try:
            _make_durable(self._fd)
        except OSError as error:
            self._broken = True
            raise FramesLogBroken(
                error.errno, f"fsync of frames.log failed: {error.strerror}"
            ) from error
        self._unsynced = False
        self.durable = self._end
        return True

    def _write(self) -> None:
        data = b"".join(self._pending)
        done = 0
        try:
            with memoryview(data) as view:
                while done < len(view):
                    done += os.write(self._fd, view[done:])
        finally:
            self._settle(done)

    def _settle(self, done: int) -> None:
        """Takes `done` written bytes off what is pending. Whole records stay in the file, for a reader may have them
        already; half a record goes, or it would look like the end of the log for good.
        """
        kept = 0
        while self._pending and kept + len(self._pending[0]) <= done:
            kept += len(self._pending.popleft())
        self._end += kept
        self.pending_bytes -= kept
        if kept < done:
            with contextlib.suppress(
                OSError
            ):  # should even that fail, the next write overwrites it
                os.ftruncate(self._fd, self._end)
            os.lseek(self._fd, self._end, os.SEEK_SET)

    def close(self) -> None:
        os.close(self._fd)


def _make_durable(fd: int) -> None:
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync alone stops at the drive's cache
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def sync_name(path: str | Path) -> None:
    """Makes the name of a file durable that was given it before it was written and synced.

    On Linux it is that already: the journals of its file systems keep the order in which names and sizes changed, and so
    take with a file's new size whatever was done before (`sdk/adr`, on what is durable before the first line).
    """
    if sys.platform != "linux":
        sync_directory(Path(path).parent)


def sync_directory(path: str | Path) -> None:
    """Makes the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
