"""Frames on a local socket: `u32 length` (big-endian), then one JSON object."""

import asyncio
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

MAX_FRAME = 1 << 20
_LENGTH = struct.Struct(">I")


def pack(frame: Mapping[str, Any]) -> bytes:
    raw = json.dumps(frame).encode()
    return _LENGTH.pack(len(raw)) + raw


async def receive(sock: socket.socket) -> dict[str, Any]:
    """The next frame; EOFError at the end."""
    (length,) = _LENGTH.unpack(await _exactly(sock, _LENGTH.size))
    frame: dict[str, Any] = json.loads(await _exactly(sock, length))
    return frame


async def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        if not more:
            raise EOFError("end of file")
        data += more
    return data


class Splitter:
    """Cuts a stream of bytes into frames. ValueError when the other side is out of step."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        self._rest += data
        while len(self._rest) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._rest)
            end = _LENGTH.size + length
            if length > MAX_FRAME:
                raise ValueError(f"a frame of {length} bytes")
            if len(self._rest) < end:
                return
            raw, self._rest = self._rest[_LENGTH.size : end], self._rest[end:]
            frame: dict[str, Any] = json.loads(raw)
            yield frame
