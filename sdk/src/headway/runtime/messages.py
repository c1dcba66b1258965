"""Messages between the flow's process and its workers: one byte for the kind, eight for the length, the body."""

from __future__ import annotations

import socket
import struct
from enum import Enum

_HEAD = struct.Struct(">cQ")
_JOINED_MAX = 64 * 1024


class Message(Enum):
    """Kinds of messages."""

    WORK = b"W"
    VALUE = b"V"
    ERROR = b"E"
    FRAME = b"F"


def send_message(sock: socket.socket, kind: Message, body: bytes) -> None:
    """Whole, or OSError. One thread at a time."""
    head = _HEAD.pack(kind.value, len(body))
    if len(body) <= _JOINED_MAX:
        sock.sendall(head + body)
    else:  # rather two system calls than a copy
        sock.sendall(head)
        sock.sendall(body)


class MessageReader:
    """Cuts a stream into messages."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[tuple[Message, bytes]]:
        """The messages that `data` completes."""
        self._rest += data
        found = []
        while len(self._rest) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._rest)
            end = _HEAD.size + length
            if len(self._rest) < end:
                break
            found.append((Message(kind), bytes(self._rest[_HEAD.size : end])))
            del self._rest[:end]
        return found
