"""A flow process that is kept: it executes an attempt, makes itself fit for the next one or ends, and waits for its start."""

from __future__ import annotations

import contextvars
import logging
import os
import resource
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from headway.flows import Flow
from headway.runtime import processes
from headway.runtime.child import ENDED, Attempt, Ears, execute
from headway.runtime.framing import FrameSplitter, pack, parse
from headway.runtime.imported import Imported
from headway.runtime.redaction import Redactor
from headway.runtime.surroundings import Surroundings

MOST_RUNS = 1_000
MOST_MEMORY_MB = 1_024
THREADS_END_WITHIN = 0.2
_REUSABLE = frozenset({"completed", "failed", "suspended"})
_READ = 64 * 1024
_MIB = 1 << 20

_log = logging.getLogger("headway")


class KeptAttempt(Attempt):
    """One of several in a process: when its code is loaded, the process is as each of them shall find it."""

    residence: Residence

    def _load(self) -> Flow[..., Any]:
        flow = super()._load()
        self.residence.loaded()
        return flow

    def _warn_of_other_code(self) -> None:
        if self.residence.is_first:  # the files are those of then, or there were no second attempt
            super()._warn_of_other_code()


class Residence:
    """Of one process, from its first attempt to its last."""

    def __init__(self, sock: socket.socket, ears: Ears) -> None:
        self._sock = sock
        self._ears = ears
        self._frames = FrameSplitter()
        self._redactor = Redactor()
        self._imported = Imported()
        self._surroundings: Surroundings | None = None
        self._threads: set[threading.Thread] = set()
        self._streams = _streams()
        self._runs = 0

    @property
    def is_first(self) -> bool:
        return self._runs == 1

    def loaded(self) -> None:
        """The code is there; no line of the flow has run yet."""
        if self._surroundings is None:
            self._surroundings = Surroundings()
            self._threads = set(threading.enumerate())

    def stay(self, start: dict[str, Any]) -> int:
        """Attempts until one leaves a reason to end, or nobody has another. Gives the exit code."""
        while True:
            self._runs += 1
            begun_ns = time.time_ns()
            outcome = contextvars.copy_context().run(self._attempt, start)
            try:
                files = self._fit_for_more(start, outcome, begun_ns)
            except (Unfit, OSError) as reason:
                _log.info("this process takes no other run: %s", reason)
                return ENDED
            self._sock.sendall(pack({"type": "idle", "files": files}))
            following = self._next_start()
            if following is None or self._surroundings is None:
                return ENDED
            self._surroundings.move(start["env"], following["env"])
            start = following

    def _attempt(self, start: dict[str, Any]) -> str:
        def make(*inputs: Any) -> KeptAttempt:
            attempt = KeptAttempt(*inputs)
            attempt.residence = self
            return attempt

        attempt = execute(start, self._sock, self._ears.follow, self._redactor, make)
        attempt.release()
        return attempt.outcome

    def _fit_for_more(
        self, start: dict[str, Any], outcome: str, begun_ns: int
    ) -> dict[str, list[int]]:
        """Makes the process as the next attempt shall find it; gives the files that this one imported. Raises Unfit."""
        if outcome not in _REUSABLE or self._surroundings is None:
            raise Unfit("the flow was ended" if outcome == "cancelled" else "the flow never ran")
        if self._runs >= (most := _number(start, "max_runs_per_process", MOST_RUNS)):
            raise Unfit(f"it has executed {most} (max_runs_per_process)")
        self._check_leftovers()
        if (used := _resident_mb()) > (most := _number(start, "max_memory_mb", MOST_MEMORY_MB)):
            raise Unfit(f"it holds {used} MiB of memory, more than {most} (max_memory_mb)")
        try:
            files = self._imported.more(begun_ns)
        except LookupError as error:
            path = error.args[0]
            raise Unfit(f"{path} was changed while it was imported, or is no file") from error
        self._surroundings.put_back()
        return files

    def _check_leftovers(self) -> None:
        deadline = time.monotonic() + THREADS_END_WITHIN
        strangers = [each for each in threading.enumerate() if each not in self._threads]
        for thread in strangers:
            thread.join(max(0.0, deadline - time.monotonic()))
        if left := [each.name for each in strangers if each.is_alive()]:
            raise Unfit(f"the flow has left threads running ({', '.join(left[:10])})")
        if processes.has_children():
            raise Unfit("the flow has left a process running, or not waited for one")
        if _streams() != self._streams or sys.__stdout__ is None or sys.__stdout__.closed:
            raise Unfit("the flow has closed or redirected one of the standard streams")

    def _next_start(self) -> dict[str, Any] | None:
        with suppress(ConnectionError):  # as at end of file
            while data := self._sock.recv(_READ):
                for raw in self._frames.feed(data):
                    frame = parse(raw)
                    if frame is not None and frame["type"] == "next":
                        return {**frame["start"], "run_dir": frame["run_dir"], "kept": True}
        return None


class Unfit(Exception):
    """Why a process must not take another run."""


def _number(start: dict[str, Any], name: str, default: int) -> int:
    given = start.get(name)
    return given if type(given) is int and given > 0 else default


def _streams() -> list[tuple[int, int] | None]:
    """What the descriptors 0, 1 and 2 lead to."""
    found: list[tuple[int, int] | None] = []
    for fd in range(3):
        try:
            stat = os.fstat(fd)
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_dev, stat.st_ino))
    return found


def _resident_mb() -> int:
    try:
        return processes.resident_pages() * resource.getpagesize() // _MIB
    except OSError:  # no such file system: the most that it ever held
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return held // _MIB if sys.platform == "darwin" else held // 1024
