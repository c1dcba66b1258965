"""output.log: what the flow printed and logged, as numbered JSON lines."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

MAX_TEXT = 64 * 1024


class LineSplitter:
    """Cuts a stream of bytes into lines. Holds at most one line's permitted length, however long the line is."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._length = 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._keep(end)
            lines.append(self._take())
        self._keep(rest)
        return lines

    def finish(self) -> list[str]:
        """The last line, if it has no end."""
        return [self._take()] if self._length else []

    def _keep(self, part: bytes) -> None:
        # A byte more than permitted, to see whether the cut would split a character.
        self._kept += part[: max(0, MAX_TEXT + 1 - len(self._kept))]
        self._length += len(part)

    def _take(self) -> str:
        text = clean_text(bytes(self._kept), self._length)
        self._kept.clear()
        self._length = 0
        return text


def clean_text(kept: bytes, length: int) -> str:
    """Valid text without NUL, cut to what is permitted; `kept` is the beginning of `length` bytes."""
    if length <= MAX_TEXT:
        return kept.removesuffix(b"\r").decode(errors="replace").replace("\0", "\ufffd")
    cut = MAX_TEXT
    while cut > MAX_TEXT - 4 and kept[cut] & 0xC0 == 0x80:  # not inside a character
        cut -= 1
    text = kept[:cut].decode(errors="replace").replace("\0", "\ufffd")
    return f"{text} ... [cut {length - cut} bytes]"


def cut_text(text: str) -> str:
    data = text.encode(errors="replace")
    return clean_text(data[: MAX_TEXT + 1], len(data))


class OutputLog:
    """Writes output.log, which comes with the first line: making a file costs more than all else that is done for it in a
    short attempt. On a full disk it drops lines and later says how many, in a line of its own.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._waiting: list[dict[str, Any]] = []
        self.dropped = 0
        self._end = 0
        self.lines = 0

    def add(
        self, *, at_us: int, source: str, level: str, text: str, call: str = "", logger: str = ""
    ) -> None:
        entry: dict[str, Any] = {
            "at_us": at_us,
            "source": source,
            "level": level,
            "call": call,
            "text": text,
        }
        if logger:
            entry["logger"] = logger
        self._waiting.append(entry)

    def write(self, now_us: int, *, room: bool) -> bool:
        """Writes what is waiting, or drops it when there is no `room`; whether the file grew."""
        if not self._waiting and not (self.dropped and room):
            return False
        written = 0
        if room:
            self._mark_gap(now_us)
            lines = [
                _encode(number, entry) for number, entry in enumerate(self._waiting, self.lines + 1)
            ]
            written = self._append(lines)
            self.lines += written
        self._drop(self._waiting[written:])
        self._waiting.clear()
        return written > 0

    def sync(self) -> None:
        if self._fd is None:
            return
        with contextlib.suppress(OSError):  # lines are no facts: they may go with the power
            os.fsync(self._fd)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def _mark_gap(self, now_us: int) -> None:
        if self.dropped:
            text = f"[{self.dropped} lines dropped: the disk was full]"
            gap = {"at_us": now_us, "source": "log", "level": "WARNING", "call": "", "text": text}
            self._waiting.insert(0, gap | {"dropped": self.dropped})
            self.dropped = 0

    def _drop(self, entries: list[dict[str, Any]]) -> None:
        # A marker that could not be written counts as the lines that it stands for.
        self.dropped += sum(entry.get("dropped", 1) for entry in entries)

    def _append(self, lines: list[bytes]) -> int:
        """Writes whole lines and says how many; fewer than given when the disk is full or faulty."""
        try:
            fd = self._fd = self._open() if self._fd is None else self._fd
        except OSError:
            return 0
        data = b"".join(lines)
        done = 0
        try:
            with memoryview(data) as view:
                while done < len(view):
                    done += os.write(fd, view[done:])
        except OSError:
            # Whole lines stay, for a reader may have them already; half a line goes.
            done = data.rfind(b"\n", 0, done) + 1
            with contextlib.suppress(
                OSError
            ):  # should even that fail, the next write overwrites it
                os.ftruncate(fd, self._end + done)
            os.lseek(fd, self._end + done, os.SEEK_SET)
        self._end += done
        return data.count(b"\n", 0, done)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _encode(number: int, entry: dict[str, Any]) -> bytes:
    return (
        json.dumps({"line": number, **entry}, separators=(",", ":"), ensure_ascii=False).encode(
            errors="replace"
        )
        + b"\n"
    )
