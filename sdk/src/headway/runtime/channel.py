"""The flow process's end of the channel to its supervisor. Any thread sends; only a call with `durable="sync"` waits for an answer."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from headway.outputs import clean_text as clean
from headway.runtime.cancellation import Cancellation
from headway.runtime.framing import FrameSplitter

__all__ = ["SUPERVISOR_LOST", "Channel", "Wire", "clean"]

SUPERVISOR_LOST = 70
"""Exit code of a flow process whose supervisor is gone: nobody would record what it goes on to do."""

_READ = 4096
_SYNC = b'"durable":"sync"'
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Wire(Protocol):
    """What carries frames: the socket to the supervisor, or in a worker what leads to the flow's process."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


def _end_process() -> None:
    with suppress(OSError):  # whoever would read it is gone as well, most likely
        os.write(
            2,
            b"headway: the channel to the supervisor is gone, so the flow process ends. Should the supervisor live, "
            b"the flow has closed a file descriptor that it did not open.\n",
        )
    os._exit(SUPERVISOR_LOST)


class Channel:
    """Sends frames over a blocking socket. When nobody is at the other end, the process ends at once."""

    def __init__(
        self,
        sock: Wire,
        cancellation: Cancellation,
        on_lost: Callable[[], None] = _end_process,
    ) -> None:
        self._sock = sock
        self._cancellation = cancellation
        self._on_lost = on_lost
        # Reentrant, for a finalizer that logs may run inside `send`; each sendall is one step, so frames stay whole.
        self._lock = threading.RLock()
        # Whoever waits for an answer reads for all who wait: there is no thread for it.
        self._reading = threading.Lock()
        self._answers = FrameSplitter()
        self._durable: set[str] = set()
        self._disowned = False
        self.on_secret: Callable[[dict[str, Any]], None] = lambda _frame: None
        """Told of secrets that a worker has looked up."""

    def disown(self) -> None:
        """For a fork of the flow process: what it sent would stand between the flow's frames, or break them."""
        self._disowned = True
        self._sock.close()

    def move(self, wire: Wire) -> None:
        """For a worker of the run: its frames go to the flow's process, which passes them on."""
        self._sock = wire
        self._lock = threading.RLock()
        self._reading = threading.Lock()

    def pass_on(self, packed: bytes) -> str:
        """Sends a worker's frame as it is. Gives the call that asks for durability, once it has it; else nothing."""
        self._send(packed)
        if _SYNC not in packed:
            return ""
        frame = json.loads(packed[4:])
        if frame.get("durable") != "sync":
            return ""
        if frame.get("type") == "secret":
            self.on_secret(frame)
        call = str(frame["call"])
        self.wait_durable(call)
        return call

    def send(self, frame: dict[str, Any]) -> None:
        """Sends one frame whole. All its text must be clean already."""
        if self._disowned:
            return
        body = _encode(frame).encode()
        self._send(len(body).to_bytes(4, "big") + body)

    def _send(self, packed: bytes) -> None:
        # A cancel that was raised between two halves of a frame would garble all that follow.
        with self._cancellation.held, self._lock:
            try:
                self._sock.sendall(packed)
            except OSError:
                self._on_lost()

    def wait_durable(self, call: str) -> None:
        """Returns once the supervisor has said that the call's end is on disk. A cancel waits meanwhile."""
        with self._cancellation.held:
            while not (self._disowned or self._is_durable(call)):
                pass  # another thread's answer came; between two looks that thread gets its turn

    def _is_durable(self, call: str) -> bool:
        """Whether the answer is there, after waiting for one more if it was not."""
        with self._reading:
            if call not in self._durable:
                self._read_answers()
            if call not in self._durable:
                return False
            self._durable.remove(call)
            return True

    def _read_answers(self) -> None:
        try:
            data = self._sock.recv(_READ)
        except OSError:
            data = b""
        if not data:
            self._on_lost()
        for raw in self._answers.feed(data):
            answer = json.loads(raw)
            if answer.get("type") == "durable":
                self._durable.add(answer["call"])
