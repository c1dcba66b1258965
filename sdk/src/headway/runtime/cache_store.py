"""The cache on the agent's disk: one file for each result, a second one where it is large, and a lock for who makes it.

Whatever is not exactly as it was written is not there. Nothing here is synced: what a power cut tears is a miss.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

FORMAT = 1
FOLDER = "cache"
_ENTRIES, _LOCKS = "entries", "locks"


class Entry(NamedTuple):
    """A result in the cache."""

    key: str
    """64 hex digits."""
    task: str
    """`module:qualified_name` of the function."""
    name: str
    """The task's name."""
    parts: Mapping[str, str]
    """What the key was made of: digests by name (`inputs.day`, `source` ...)."""
    made_at_us: int
    """Microseconds since the epoch, by the clock of the machine that made it."""
    run: str
    call: str
    result: Mapping[str, Any]
    """As in frames: codec, size, digest, and `data` or `file`."""


class CacheStore:
    """The cache in one directory, for any number of processes at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry_path(self, key: str) -> Path:
        return self.folder / _ENTRIES / key[:2] / key

    def payload_path(self, entry: Entry) -> Path:
        return self.entry_path(entry.key).with_name(f"{entry.key}.{entry.result['digest'][:16]}")

    def read(self, key: str) -> Entry | None:
        """The entry; None when there is none, or none that is whole and of a form that this code knows."""
        try:
            raw = self.entry_path(key).read_bytes()
        except OSError:
            return None
        entry = parsed(raw)
        return entry if entry is not None and entry.key == key else None

    def write(self, entry: Entry, payload: Path | None) -> None:
        """Puts the entry in the place of any other of its key. `payload`: the file with a large result.

        Raises OSError; then there is the entry of before, or none.
        """
        path = self.entry_path(entry.key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if payload is not None:
            self._take(payload, self.payload_path(entry))
        part = _part(path)
        try:
            part.write_bytes(text_of(entry))
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        self._delete_payloads(entry.key, but=self.payload_path(entry) if payload else None)

    def used(self, key: str) -> None:
        """The agent deletes first what was used longest ago."""
        with suppress(OSError):  # deleted meanwhile
            os.utime(self.entry_path(key))

    def delete(self, key: str) -> None:
        self.entry_path(key).unlink(missing_ok=True)
        self._delete_payloads(key, but=None)

    def entries(self) -> Iterator[Entry]:
        """All that can be read, in no order."""
        for path in self._files():
            if "." not in path.name and (entry := self.read(path.name)) is not None:
                yield entry

    def clear(self) -> int:
        """Deletes everything, what cannot be read too; how many results there were."""
        count = 0
        for path in list(self._files()):
            count += "." not in path.name
            path.unlink(missing_ok=True)
        return count

    def size_of(self, entry: Entry) -> int:
        """Bytes on the disk."""
        size = 0
        for path in (self.entry_path(entry.key), self.payload_path(entry)):
            with suppress(FileNotFoundError):  # small results have no file of their own
                size += path.stat().st_size
        return size

    def try_lock(self, key: str, holder: str) -> Lock | None:
        """The lock on a key; None while another call has it. The kernel gives it back when its holder dies.

        Raises OSError.
        """
        folder = self.folder / _LOCKS
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / key
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_nlink:
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, holder.encode(), 0)
                    return Lock(fd, path)
            except BlockingIOError:
                os.close(fd)
                return None
            except OSError:
                os.close(fd)
                raise
            os.close(fd)  # its last holder deleted it in between: this file is nobody's any more

    def holder(self, key: str) -> str:
        """Who has the lock, as `try_lock` was told; empty where that cannot be said."""
        try:
            return (self.folder / _LOCKS / key).read_text(errors="replace")
        except OSError:
            return ""

    def _files(self) -> Iterator[Path]:
        for folder in (self.folder / _ENTRIES).glob("*"):
            yield from folder.iterdir()

    def _take(self, payload: Path, to: Path) -> None:
        part = _part(to)
        try:
            try:
                os.link(payload, part)
            except OSError:  # another disk
                part.write_bytes(payload.read_bytes())
            part.replace(to)
        finally:
            # Renaming one name of a file onto another name of it does nothing, and leaves both.
            part.unlink(missing_ok=True)

    def _delete_payloads(self, key: str, but: Path | None) -> None:
        for path in self.entry_path(key).parent.glob(f"{key}.*"):
            if path != but and not path.name.endswith(".part"):
                path.unlink(missing_ok=True)


class Lock:
    """Held until `release`, or the holder's death."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        # Said, not left to close(): a process that user code forked meanwhile has the descriptor too.
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")


def text_of(entry: Entry) -> bytes:
    """As it lies in a file."""
    body = json.dumps({"format": FORMAT, **entry._asdict()}, sort_keys=True).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def parsed(raw: bytes) -> Entry | None:
    """None where it is not whole, or of a form that this code does not know."""
    digest, _, body = raw.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    try:
        said = json.loads(body)
        if said.pop("format") != FORMAT:
            return None
        entry = Entry(**said)
        is_known = isinstance(entry.result["codec"], str) and isinstance(entry.made_at_us, int)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # A digest proves that it is what somebody wrote, and agents share what they write.
        return None
    return entry if is_known else None
