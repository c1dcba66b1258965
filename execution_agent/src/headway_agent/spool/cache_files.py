"""How much of the flows' cache stays: the SDK writes it (`headway/runtime/cache_store.py`), any of its files may go at any time."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEEP_BYTES = 2 << 30
PART_US = 3_600 * 1_000_000
"""A part of a file that nobody has written to for so long is what a dead process left."""


@dataclass(slots=True)
class Cached:
    """The files of one result: its entry, a large value beside it, the parts of either while they are written."""

    used_us: int = 0
    """When the newest of them was written or, the entry, read."""
    size: int = 0
    paths: list[Path] = field(default_factory=list)


def trim(store: Path, now_us: int, *, keep_bytes: int = KEEP_BYTES) -> int:
    """Deletes what was used longest ago, until the rest fits; how many results went."""
    found = _by_key(store / "cache" / "entries", now_us)
    going = choose(found, keep_bytes)
    for key in going:
        # The entry comes first: without it nobody looks for the value.
        for path in sorted(found[key].paths, key=lambda path: len(path.name)):
            path.unlink(missing_ok=True)
    return len(going)


def choose(found: Mapping[str, Cached], keep_bytes: int) -> list[str]:
    """The keys to delete."""
    total = 0
    going = []
    for key in sorted(found, key=lambda key: found[key].used_us, reverse=True):
        total += found[key].size
        if total > keep_bytes:
            going.append(key)
    return going


def _by_key(entries: Path, now_us: int) -> dict[str, Cached]:
    found: dict[str, Cached] = {}
    for file in _files(entries):
        try:
            seen = file.stat()
        except FileNotFoundError:
            continue  # replaced or cleared meanwhile
        used_us = seen.st_mtime_ns // 1_000
        if file.name.endswith(".part") and now_us - used_us >= PART_US:
            Path(file.path).unlink(missing_ok=True)
            continue
        cached = found.setdefault(file.name.partition(".")[0], Cached())
        cached.used_us = max(cached.used_us, used_us)
        cached.size += seen.st_size
        cached.paths.append(Path(file.path))
    return found


def _files(entries: Path) -> Iterator["os.DirEntry[str]"]:
    if entries.is_dir():
        for folder in entries.iterdir():
            with os.scandir(folder) as files:
                yield from files
