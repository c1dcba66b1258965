"""Results as bytes with a codec: `json` (with tags for what JSON lacks), `bytes` as itself, one of headway.formats for what
numpy, pandas, polars and pyarrow have, `pickle` by opt-in only.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from headway import codecs, tagging
from headway.errors import ResultTooLarge, UnserializableResult

INLINE_MAX = 256 * 1024
"""Bytes of an encoded value that travel in the frame; larger ones become a file."""

MAX = 1 << 30
"""Bytes that an encoded value may have where the agent does not say otherwise."""

CodecName = str
"""`none`, `json`, `bytes`, `pickle`, or the name of a codec in headway.formats (`numpy.ndarray`)."""
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


def encode(value: Any, *, pickled: bool = False, most: int | None = None) -> Payload:
    """The value's payload. Raises UnserializableResult, which names the type in the way and what to do, and ResultTooLarge
    as soon as it is clear that there are more than `most` bytes.
    """
    if type(value) is bytes:
        return _checked(Payload("bytes", value), most)
    try:
        codec = _codec_of(value)
        if isinstance(codec, codecs.BinaryCodec):
            return Payload(codec.tag, _written(value, codec, most))
        return _checked(Payload("json", tagging.dumps(value)), most)
    except UnserializableResult:
        if not pickled:
            raise
    return Payload("pickle", _pickle(value, most))


def _codec_of(value: Any) -> codecs.Codec | codecs.BinaryCodec | None:
    try:
        return codecs.of_type(type(value))
    except Exception as error:
        # A metaclass of the user's may refuse to be looked up.
        raise UnserializableResult("a class", f"looking at it raised {error!r}") from error


class _Sink(io.BytesIO):
    """A file in memory that ends at `most` bytes, before it takes the memory."""

    def __init__(self, most: int | None) -> None:
        super().__init__()
        self._most = most
        self.is_full = False

    def write(self, data: Any, /) -> int:
        if self._most is not None and self.tell() + memoryview(data).nbytes > self._most:
            self.is_full = True
            raise ResultTooLarge(self._most)
        return super().write(data)


def _checked(payload: Payload, most: int | None) -> Payload:
    if most is not None and len(payload.data) > most:
        raise ResultTooLarge(most)
    return payload


def _written(value: Any, codec: codecs.BinaryCodec, most: int | None) -> bytes:
    sink = _Sink(most)
    try:
        codec.write(value, sink)
    except (UnserializableResult, ResultTooLarge):
        raise
    except Exception as error:
        # Whatever the package raises for a value that its own format does not take, or makes of the sink's error.
        if sink.is_full and most is not None:
            raise ResultTooLarge(most) from error
        raise UnserializableResult(_name(value), f"{codec.tag} says: {error}") from error
    return sink.getvalue()


def _pickle(value: Any, most: int | None) -> bytes:
    sink = _Sink(most)
    try:
        pickle.dump(value, sink, protocol=5)
    except ResultTooLarge:
        raise
    except Exception as error:
        # Pickling runs code of the value's type, which may raise anything.
        raise UnserializableResult(type(value).__qualname__, f"pickle says: {error}") from error
    return sink.getvalue()


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def decode(payload: Payload) -> Any:
    """The value of a payload. Raises anything when the text is foreign or its classes have changed.

    Unpickling executes code: pickles come here from the user's own journal, on the user's own disk, alone. Others may also come
    from the store of results.
    """
    if payload.codec == "bytes":
        return payload.data
    if payload.codec == "json":
        return tagging.loads(payload.data)
    if payload.codec == "pickle":
        return pickle.loads(payload.data)  # noqa: S301 - opt-in of the task, data of the same user
    codec = codecs.named(payload.codec)
    if isinstance(codec, codecs.BinaryCodec):
        return codec.read(payload.data)
    raise ValueError(f"no codec {payload.codec!r}")


def register_codec(
    kind: type[T], name: str, encode: Callable[[T], Any], decode: Callable[[Any], T]
) -> None:
    """Teaches journal and cache a type, as a result, inside of one, and as an argument: call it where the type is defined.

    Args:
        kind: The exact type (not its subclasses).
        name: Names the encoding in stored results: keep it for ever.
        encode: Gives a value made of types that are known already (bytes and numpy arrays too); equal values must give
            equal results.
        decode: Makes the value again.

    Raises:
        ValueError: The type or the name belongs to a standard codec, or the name to another type.
    """
    tagging.register(kind, codecs.Codec(name, encode, decode))
