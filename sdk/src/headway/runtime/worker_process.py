"""A worker: executes the bodies of calls that the flow's process hands to it, one at a time."""

from __future__ import annotations

import pickle
import socket
import threading
from contextlib import suppress
from typing import Any

from headway.context import Call, current_call, enter, leave
from headway.errors import Cancelled, HeadwayError
from headway.runners import Work
from headway.runtime.engine import JournalEngine
from headway.runtime.messages import Message, MessageReader, send_message
from headway.runtime.streams import flush_output

_READ = 64 * 1024
ORDINALS_A_TRY = 1 << 32
"""Equal calls of a later try are other calls than those of the first, as they are in the flow's own process."""


class Wire:
    """The socket to the flow's process, in the place of the one to the supervisor: frames go there as messages."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # Reentrant, for a finalizer that logs may run inside.
        self._lock = threading.RLock()

    def sendall(self, data: bytes) -> None:
        self.send(Message.FRAME, data)

    def recv(self, size: int) -> bytes:
        return self._sock.recv(size)

    def close(self) -> None:
        self._sock.close()

    def send(self, kind: Message, body: bytes) -> None:
        with self._lock:
            send_message(self._sock, kind, body)


def work_on(sock: socket.socket) -> None:
    """Serves until the flow's process closes its end, or a cancel comes."""
    root = current_call()
    assert root is not None
    engine = root.engine
    assert isinstance(engine, JournalEngine)
    wire = Wire(sock)
    engine.become_worker(wire)
    messages = MessageReader()
    with suppress(Cancelled):  # between two calls
        while data := sock.recv(_READ):
            for _, body in messages.feed(data):
                outcome = _outcome(engine, body)
                flush_output()  # what the call printed is told before its end
                wire.send(*outcome)


def _outcome(engine: JournalEngine, body: bytes) -> tuple[Message, bytes]:
    try:
        work = pickle.loads(body)  # noqa: S301 - it comes from our own process
        return Message.VALUE, _pickled(_execute(engine, work))
    except BaseException as error:  # noqa: BLE001 - it goes to whoever waits for the call
        return Message.ERROR, _pickled_error(engine, error)


def _execute(engine: JournalEngine, work: Work) -> Any:
    target: Any = work.fn
    call = Call(engine, work.call, "", "task", work.name, on_loop=False)
    call.try_number = work.try_number
    call.first_ordinal = (work.try_number - 1) * ORDINALS_A_TRY
    call.log_prints = work.log_prints
    if call.log_prints:
        engine.hear_prints()
    token = enter(call)
    try:
        return engine.execute_body(call, target, work.args, work.kwargs)
    finally:
        leave(token)


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception as error:
        # Pickling runs code of the value's type, which may raise anything.
        raise TypeError(
            f"the result cannot be handed back to the flow's process: {error}"
        ) from error


def _pickled_error(engine: JournalEngine, error: BaseException) -> bytes:
    """With where it was raised, which pickling leaves out."""
    described = engine.describe(error)
    with suppress(AttributeError):  # a class with slots
        error.__headway_described__ = described  # type: ignore[attr-defined]
    try:
        body = pickle.dumps(error, protocol=5)
        pickle.loads(body)  # noqa: S301 - our own; many classes can be written and not read
        return body
    except Exception:  # noqa: BLE001 - as above
        told = HeadwayError(f"{described['class']}: {described['message']}")
        told.__headway_described__ = described  # type: ignore[attr-defined]
        return pickle.dumps(told, protocol=5)
