"""Arrays in PostgreSQL's binary form, put together element by element.

The log sends columns, not rows: `unnest` of one array a column. A general array encoder looks at each value's type;
here the column knows it, equal values are packed once and repeated, and packed elements are only joined.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.adapt import Dumper
from psycopg.pq import Format

NULL = b"\xff\xff\xff\xff"

_HEADER = struct.Struct(">iiIii")  # dimensions, flags, element type, length, lower bound
_EMPTY = struct.Struct(">iiI")
_INT2 = struct.Struct(">ih").pack
_INT4 = struct.Struct(">ii").pack
_INT8 = struct.Struct(">iq").pack
_BOOL = struct.Struct(">i?").pack
_LENGTH = struct.Struct(">i").pack
_UUID_LENGTH = _LENGTH(16)

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# PostgreSQL counts microseconds from 2000-01-01.
_POSTGRES_EPOCH_US = 946_684_800_000_000


def to_us(instant: datetime) -> int:
    """Return microseconds since 1970, exactly."""
    return (instant - _UNIX_EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """Return the instant of microseconds since 1970, exactly."""
    return _UNIX_EPOCH + timedelta(microseconds=us)


def int2(value: int) -> bytes:
    return _INT2(2, value)


def int4(value: int) -> bytes:
    return _INT4(4, value)


def int8(value: int) -> bytes:
    return _INT8(8, value)


def int8_range(first: int, count: int) -> bytes:
    """Pack first, first + 1, ..."""
    return b"".join([_INT8(8, value) for value in range(first, first + count)])


def boolean(value: bool) -> bytes:  # noqa: FBT001 - the value itself is what is packed
    return _BOOL(1, value)


def uuid(value: UUID) -> bytes:
    return _UUID_LENGTH + value.bytes


def uuid_bytes(value: bytes) -> bytes:
    return _UUID_LENGTH + value


def data(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def text(value: str) -> bytes:
    return data(value.encode())


def instant_us(us: int) -> bytes:
    return _INT8(8, us - _POSTGRES_EPOCH_US)


def instant(value: datetime) -> bytes:
    return _INT8(8, to_us(value) - _POSTGRES_EPOCH_US)


def text_list(values: Iterable[str]) -> bytes:
    """Pack a text[] as its literal, since arrays of arrays must be rectangular; the statement casts it."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return text("{" + ",".join(quoted) + "}")


class PackedArray:
    """An array ready to be sent; a subclass says of what."""

    __slots__ = ("packed",)
    array_oid: ClassVar[int]
    element_oid: ClassVar[int]

    def __init__(self, count: int, elements: bytes) -> None:
        self.packed = (
            _HEADER.pack(1, 0, self.element_oid, count, 1) + elements
            if count
            else _EMPTY.pack(0, 0, self.element_oid)
        )


class Int2Array(PackedArray):
    __slots__ = ()
    array_oid, element_oid = 1005, 21


class Int4Array(PackedArray):
    __slots__ = ()
    array_oid, element_oid = 1007, 23


class Int8Array(PackedArray):
    __slots__ = ()
    array_oid, element_oid = 1016, 20


class BoolArray(PackedArray):
    __slots__ = ()
    array_oid, element_oid = 1000, 16


class UuidArray(PackedArray):
    __slots__ = ()
    array_oid, element_oid = 2951, 2950


class TextArray(PackedArray):
    __slots__ = ()
    array_oid, element_oid = 1009, 25


class BytesArray(PackedArray):
    __slots__ = ()
    array_oid, element_oid = 1001, 17


class InstantArray(PackedArray):
    __slots__ = ()
    array_oid, element_oid = 1185, 1184


Pack = Callable[[Any], bytes]
# How the values of a column are packed, by the word that row tables use.
KINDS: dict[str, tuple[type[PackedArray], Pack]] = {
    "int2": (Int2Array, int2),
    "int4": (Int4Array, int4),
    "int8": (Int8Array, int8),
    "bool": (BoolArray, boolean),
    "uuid": (UuidArray, uuid),
    "text": (TextArray, text),
    "texts": (TextArray, text_list),
    "bytes": (BytesArray, data),
    "instant": (InstantArray, instant),
}


def pack_column(kind: str, values: Sequence[Any]) -> PackedArray:
    """Pack one column; None becomes NULL."""
    array, pack = KINDS[kind]
    return array(len(values), b"".join([NULL if v is None else pack(v) for v in values]))


def pack_rows(kinds: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[PackedArray]:
    """Turn rows into one packed array a column."""
    if not rows:
        return [KINDS[kind][0](0, b"") for kind in kinds]
    columns = zip(*rows, strict=True)
    return [pack_column(kind, column) for kind, column in zip(kinds, columns, strict=True)]


def register(connection: AsyncConnection[Any]) -> None:
    """Teach a connection to send packed arrays."""
    for array in (
        Int2Array, Int4Array, Int8Array, BoolArray, UuidArray, TextArray, BytesArray, InstantArray,
    ):  # fmt: skip
        connection.adapters.register_dumper(array, _dumper(array))


def _dumper(array: type[PackedArray]) -> type[Dumper]:
    class PackedDumper(Dumper):
        oid = array.array_oid
        format = Format.BINARY

        def dump(self, obj: PackedArray) -> bytes:
            return obj.packed

    return PackedDumper
