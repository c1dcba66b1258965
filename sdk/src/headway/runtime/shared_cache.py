"""The cache that agents share, as a flow sees it: it asks its agent for a result, and leaves what it made in a file.

The agent alone reaches the store. A question is answered or given up in bounded time, and what is not answered is a miss.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from headway.runtime.cache_store import Entry, parsed, text_of

LOOK_S = 20.0
"""How long an agent may take that says nothing. One that works says within five seconds that its store does not answer."""
BRING_S = 65.0
"""How long it may take, from then on, to have its value here."""
OFFERS = "cache"
"""Folder in the attempt's directory: what the agent is to put into the store."""
TELLING = frozenset({"task", "project", "source", "imports"})
"""Parts of a key that an entry in the store tells: they are digests of code and names, not of what flows work on."""
AT_ONCE = 16
"""Questions of one process under way: thousands of calls that ask at one moment shall not take its file descriptors."""
_ENTRY_MAX = 1 << 20
_READ = 1 << 16


class SharedCache:
    """Of one attempt."""

    def __init__(self, path: str, run_dir: Path, run: str, fence: int) -> None:
        self._path = path
        self._offers = run_dir / OFFERS
        self._places = threading.Semaphore(AT_ONCE)
        self._whose = {"run": run, "fence": fence}

    def ask(self, key: str) -> Asking:
        """Has the agent look for an entry, and bring its value into the attempt's `results`."""
        question = {"type": "cache.find", "key": key, **self._whose}
        return Asking(self._path, question, self._places)

    def offer(self, entry: Entry) -> None:
        """Whole under its key, or not there. Raises OSError."""
        text = text_of(entry)
        if len(text) > _ENTRY_MAX:
            return  # of the few whose text doubles as JSON in JSON; the store has no place for it
        self._offers.mkdir(mode=0o700, exist_ok=True)
        part = self._offers / f"{entry.key}.{os.getpid()}.{threading.get_ident()}.part"
        try:
            part.write_bytes(text)
            part.replace(self._offers / entry.key)
        finally:
            part.unlink(missing_ok=True)


class Asking:
    """One question on its way: `poll` until it gives an answer. Nothing here waits. `close` in any case."""

    def __init__(
        self,
        path: str,
        question: Mapping[str, Any],
        places: threading.Semaphore | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.reason = ""
        """Why there is nothing."""
        self._key = str(question["key"])
        self._path = path
        self._question = json.dumps(question).encode() + b"\n"
        self._clock = clock
        self._until = clock() + LOOK_S
        self._places = places or threading.Semaphore()
        self._socket: socket.socket | None = None
        self._heard = bytearray()
        self._is_there = False

    def poll(self) -> bool:
        """Whether the answer is there: then `entry` has it, or `reason` says why not."""
        try:
            if self._socket is None and not self._connect():
                return self._is_too_late()
            return self._hear() or self._is_too_late()
        except OSError as error:
            self.reason = f"the agent cannot be asked: {error}"
            return True

    def entry(self) -> Entry | None:
        """What the store has, checked; its value is in `results` then, or was not brought."""
        head, _, rest = bytes(self._heard).partition(b"\n")
        raw = b""
        try:
            said = json.loads(head)
            if said.get("reason") or "size" not in said:
                self.reason = self.reason or str(said.get("reason") or "the agent has no answer")
                return None
            raw, tail = rest[: said["size"]], rest[said["size"] :]
            self.reason = self.reason or str(json.loads(tail)["reason"])
        except (ValueError, TypeError, KeyError, AttributeError):
            self.reason = self.reason or "the agent gave half an answer"
        if self.reason:
            return None
        entry = parsed(raw)
        if entry is None or entry.key != self._key:
            self.reason = "the store's entry is not what was written"
            return None
        return entry

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._places.release()

    def _connect(self) -> bool:
        """False while this process or the agent has too many questions to take one more."""
        if not self._places.acquire(blocking=False):
            return False
        try:
            self._socket = self._connected()
        except BlockingIOError:
            return False
        finally:
            if self._socket is None:
                self._places.release()
        return True

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)  # noqa: FBT003 - the name of this parameter is not public
        try:
            connection.connect(self._path)
            connection.sendall(self._question)
        except OSError:
            connection.close()
            raise
        return connection

    def _hear(self) -> bool:
        assert self._socket is not None
        while True:
            try:
                more = self._socket.recv(_READ)
            except BlockingIOError:
                return False
            if not more:
                return True
            self._heard += more
            if not self._is_there and b"\n" in more:
                self._is_there = True
                self._until = self._clock() + BRING_S
            if len(self._heard) > 2 * _ENTRY_MAX:
                raise OSError("its answer has no end")

    def _is_too_late(self) -> bool:
        if self._clock() < self._until:
            return False
        self.reason = "the store took too long"
        return True
