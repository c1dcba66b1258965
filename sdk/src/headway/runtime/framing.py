"""Frames on a socket: `u32 length` (big-endian), then one JSON object."""

import json
import struct
from typing import Any

LENGTH = struct.Struct(">I")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
MAX_FRAME = 1 << 20


class FrameTooLarge(ValueError):
    """A length beyond what a frame may have: the two sides lost step, nothing behind it can be trusted."""


def parse(raw: bytes) -> dict[str, Any] | None:
    """The frame in these bytes; None if they are no JSON object with a type, or one nested deeper than can be read."""
    try:
        frame = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    return frame if isinstance(frame, dict) and isinstance(frame.get("type"), str) else None


def pack(frame: dict[str, Any]) -> bytes:
    return packed_raw(_encode(frame).encode(errors="replace"))


def packed_raw(raw: bytes) -> bytes:
    return LENGTH.pack(len(raw)) + raw


class FrameSplitter:
    """Cuts a stream of bytes into frames; holds at most one frame."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes."""
        data = self._rest + data
        frames = []
        at = 0
        while at + LENGTH.size <= len(data):
            (length,) = LENGTH.unpack_from(data, at)
            if length > MAX_FRAME:
                raise FrameTooLarge(f"a frame of {length} bytes; at most {MAX_FRAME} are allowed")
            begin = at + LENGTH.size
            if begin + length > len(data):
                break
            frames.append(data[begin : begin + length])
            at = begin + length
        self._rest = data[at:]
        return frames
