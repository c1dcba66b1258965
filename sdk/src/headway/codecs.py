"""Which codec writes a type, and which one reads what bears a name. Those of headway.formats come with the first such value."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from threading import RLock
from typing import IO, Any, NamedTuple

from headway import formats


class Codec(NamedTuple):
    """How one type is written: a JSON-able value, and back."""

    tag: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


class BinaryCodec(NamedTuple):
    """How a type is written whose values are mostly numbers: as bytes, which are a file of their own where they are large."""

    tag: str
    write: Callable[[Any, IO[bytes]], None]
    """Writes the value into a file. Raises UnserializableResult."""
    read: Callable[[bytes], Any]
    identity: Callable[[Any], bytes]
    """Equal for equal values, whatever their layout in memory. Raises UnserializableResult."""
    suffix: str
    """Of the name of such a file."""

    def bytes_of(self, value: Any) -> bytes:
        sink = BytesIO()
        self.write(value, sink)
        return sink.getvalue()


_loading = RLock()
by_type: dict[type, Codec | BinaryCodec] = {}
by_tag: dict[str, Codec | BinaryCodec] = {}


def _reset() -> None:
    """In a fork: whoever held the lock is not there."""
    global _loading
    _loading = RLock()


os.register_at_fork(after_in_child=_reset)


def add(kind: type, codec: Codec | BinaryCodec) -> None:
    """As `register`, for headway.formats. What the user has registered for a type stays."""
    by_type.setdefault(kind, codec)
    by_tag[codec.tag] = codec


def of_type(kind: type) -> Codec | BinaryCodec | None:
    """The codec of exactly this type."""
    codec = by_type.get(kind)
    if codec is None and kind.__module__.partition(".")[0] in formats.MODULES:
        _load(kind.__module__)
        codec = by_type.get(kind)
    return codec


def named(tag: str) -> Codec | BinaryCodec | None:
    """None where there is none of this name, or its package is gone."""
    if tag not in by_tag:
        _load(tag)
    return by_tag.get(tag)


def _load(name: str) -> None:
    with _loading:  # another thread may be at it: its codecs are there when this goes on
        for kind, codec in formats.load(name).items():
            add(kind, codec)
