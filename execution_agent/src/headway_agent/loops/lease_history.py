"""What this agent executes, and until when it may trust its lease: as JSON lines in a file of the customer's, for audit.

Whoever holds the histories of several agents beside each other sees whether two ever held one run at a time: each line stands
until the next one, and its attempts are held until `trusted_until`, on the machine's boot-time clock.
"""

import errno
import json
import logging
import math
import os
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headway_agent.clock import Clock
from headway_agent.core.attempt import Attempt
from headway_agent.loops.hub import Hub

log = logging.getLogger(__name__)
MOST_UNTOLD = 10_000
"""Lines that are held while there is no room for them; the oldest go."""


class LeaseHistory:
    """Appends a line after each step that changed what there is to tell. Only the file's owner may read it."""

    def __init__(self, path: Path, agent: str, clock: Clock) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._agent = agent
        self._clock = clock
        self._told: dict[str, Any] = {}
        # Lines that had no room yet. What begins and ends while the disk is full is told, too.
        self._untold: deque[bytes] = deque(maxlen=MOST_UNTOLD)
        self._torn = _ends_torn(path)
        self._is_broken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def watch(self, hub: Hub) -> None:
        """Follow a hub from now on."""
        hub.after_step = lambda: self._look(hub)
        self._look(hub)

    def _look(self, hub: Hub) -> None:
        until = hub.session.lease.trusted_until
        told = {
            "agent": self._agent,
            "pid": os.getpid(),
            "trusted_until": until if math.isfinite(until) else None,
            "attempts": sorted(self._executed(hub)),
        }
        if told != self._told:
            self._note(told)
        if self._untold:
            self._write()

    def _note(self, told: dict[str, Any]) -> None:
        self._told = told
        line = {"at": self._clock.boottime(), **told}
        self._untold.append(json.dumps(line).encode() + b"\n")

    def _write(self) -> None:
        try:
            while self._untold:
                self._append(self._untold[0])
                self._untold.popleft()
        except OSError as error:
            # A full disk is no reason to stop what runs: the next step tries again.
            if not self._is_broken:
                log.warning("the lease history can't be written: %s", error)
            self._is_broken = True
        else:
            self._is_broken = False

    def _append(self, line: bytes) -> None:
        """A whole line. The beginning of one, on a disk that was full behind it or left by a kill, is ended first: readers
        pass it over, and would pass over the next one with it.
        """
        if self._torn:
            line = b"\n" + line
        written = self._file.write(line)
        self._torn = self._torn or written > 0
        if written < len(line):
            raise OSError(errno.ENOSPC, "no room for a whole line")
        self._torn = False

    def _executed(self, hub: Hub) -> set[Attempt]:
        """Without those that we know to be fenced: their processes are being killed."""
        positions = hub.reporting.positions
        fenced = {attempt for attempt, position in positions.items() if position.fenced}
        return {*hub.session.running} - fenced


def _ends_torn(path: Path) -> bool:
    """Whether the last line is none: its writer was killed, or had no room."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return False
        file.seek(size - 1)
        return file.read(1) != b"\n"
