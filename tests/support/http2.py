"""HTTP/2 by hand, to say what no library would: frames over a raw socket."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 1, 3, 4, 6, 9
END_STREAM, END_HEADERS = 0x1, 0x4
PATH = "/headway_api.agent.v1.AgentService/Session"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def literal(name: str, value: str) -> bytes:
    """A header that no table holds, in HPACK."""
    return b"\x00" + b"".join(_length(len(text)) + text.encode() for text in (name, value))


def _length(size: int) -> bytes:
    if size < 127:
        return bytes([size])
    size -= 127
    found = b"\x7f"
    while size >= 128:
        found += bytes([size % 128 + 128])
        size //= 128
    return found + bytes([size])


def request_headers(path: str = PATH) -> bytes:
    return b"".join(
        literal(name, value)
        for name, value in (
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        )
    )  # fmt: skip


class Connection:
    """Sends what it is told; what comes back is read and thrown away."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.sent = 0
        self.send(PREFACE + frame(SETTINGS, 0, 0))

    def send(self, data: bytes) -> bool:
        """Whether the other side still takes it."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        self.sent += len(data)
        self.socket.setblocking(False)
        with suppress(BlockingIOError, OSError):
            while self.socket.recv(65536):
                pass
        self.socket.settimeout(10)
        return True

    def close(self) -> None:
        self.socket.close()
