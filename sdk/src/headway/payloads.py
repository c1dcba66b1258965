"""Results as bytes with a codec: `json` (with tags for what JSON lacks), `bytes` as itself, `pickle` by opt-in only."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

from headway import tagging
from headway.errors import UnserializableResult

INLINE_MAX = 256 * 1024
"""Bytes of an encoded value that travel in the frame; larger ones become a file."""

CodecName = Literal["none", "json", "bytes", "pickle"]
T = TypeVar("T")


class Payload(NamedTuple):
    """An encoded value."""

    codec: CodecName
    data: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


NONE = Payload("none", b"")
"""Stands for a value that could not be kept."""


def encode(value: Any, *, pickled: bool = False) -> Payload:
    """The value's payload. Raises UnserializableResult, which names the type in the way and what to do."""
    if type(value) is bytes:
        return Payload("bytes", value)
    try:
        return Payload("json", tagging.dumps(value))
    except UnserializableResult:
        if not pickled:
            raise
    return Payload("pickle", _pickle(value))


def _pickle(value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception as error:
        # Pickling runs code of the value's type, which may raise anything.
        raise UnserializableResult(type(value).__qualname__, f"pickle says: {error}") from error


def decode(payload: Payload) -> Any:
    """The value of a payload. Raises anything when the text is foreign or its classes have changed.

    Unpickling executes code: only payloads of the user's own journal, on the user's own disk, come here.
    """
    if payload.codec == "bytes":
        return payload.data
    if payload.codec == "json":
        return tagging.loads(payload.data)
    if payload.codec == "pickle":
        return pickle.loads(payload.data)  # noqa: S301 - opt-in of the task, data of the same user
    raise ValueError(f"no codec {payload.codec!r}")


def register_codec(
    kind: type[T], name: str, encode: Callable[[T], Any], decode: Callable[[Any], T]
) -> None:
    """Teaches the journal a type.

    Args:
        kind: The exact type (not its subclasses).
        name: Names the encoding in stored results: keep it for ever.
        encode: Gives a value made of types that are known already; equal values must give equal results.
        decode: Makes the value again.

    Raises:
        ValueError: The type or the name belongs to a standard codec, or the name to another type.
    """
    tagging.register(kind, tagging.Codec(name, encode, decode))
