"""Which processes descend from one, and which of them still live: what a demonstration must not leave behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from typing import NamedTuple


class Process(NamedTuple):
    """A process. Its start time tells it from a later one with the same number."""

    pid: int
    started: str
    command: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.command})"


def descendants(root: int) -> set[Process]:
    """Return every process below `root`, itself not, nor the listing's own."""
    parents = {pid: (parent, process) for pid, parent, process in _processes()}
    found: set[Process] = set()
    for pid, (_, process) in parents.items():
        above = pid
        while above in parents and above != root:
            above = parents[above][0]
        if above == root and pid != root and process.command != "ps":
            found.add(process)
    return found


def survivors(family: Iterable[Process]) -> list[Process]:
    """Return those that still run."""
    living = {process for _, _, process in _processes()}
    return sorted(living.intersection(family))


def _processes() -> list[tuple[int, int, Process]]:
    """List all processes that are no zombies, by the POSIX `ps`."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat=,lstart=,comm="],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = []
    for line in listed.splitlines():
        pid, parent, state, *rest = line.split(maxsplit=8)
        if not state.startswith("Z") and len(rest) == 6:
            found.append((int(pid), int(parent), Process(int(pid), " ".join(rest[:5]), rest[5])))
    return found
