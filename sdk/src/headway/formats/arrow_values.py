"""pyarrow: tables, batches and arrays as an Arrow IPC stream."""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import sha256
from importlib import import_module
from typing import IO, Any

from headway import codecs, tagging
from headway.errors import UnserializableResult

pa: Any = import_module("pyarrow")
pc: Any = import_module("pyarrow.compute")

_COLUMN = "values"


def write_table(table: Any, sink: IO[bytes]) -> None:
    _write(table.schema, table.to_batches(), sink)


def _write_batch(batch: Any, sink: IO[bytes]) -> None:
    _write(batch.schema, [batch], sink)


def write_chunked(array: Any, sink: IO[bytes]) -> None:
    schema = pa.schema([pa.field(_COLUMN, array.type)])
    batches = [pa.record_batch([chunk], schema=schema) for chunk in array.chunks]
    _write(schema, batches, sink)


def as_chunked(array: Any) -> Any:
    """What has the Arrow protocol (of arrays) as pyarrow's own."""
    made = pa.array(array)
    return made if isinstance(made, pa.ChunkedArray) else pa.chunked_array([made], made.type)


def _write_array(array: Any, sink: IO[bytes]) -> None:
    write_chunked(pa.chunked_array([array], array.type), sink)


def _write(schema: Any, batches: Iterable[Any], sink: IO[bytes]) -> None:
    try:
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema) as stream:
            for batch in batches:
                stream.write_batch(batch)
    except pa.ArrowException as error:
        raise UnserializableResult("pyarrow data", f"Arrow IPC says: {error}") from error


def read_table(data: bytes) -> Any:
    with pa.ipc.open_stream(data) as stream:
        table = stream.read_all()
    table.validate(full=True)
    return table


def _read_batch(data: bytes) -> Any:
    with pa.ipc.open_stream(data) as stream:
        batch = stream.read_next_batch()
    batch.validate(full=True)
    return batch


def read_chunked(data: bytes) -> Any:
    return read_table(data).column(_COLUMN)


def _read_array(data: bytes) -> Any:
    chunked = read_chunked(data)
    return chunked.chunk(0) if chunked.num_chunks else pa.array([], chunked.type)


def _identity_table(table: Any) -> bytes:
    """Equal for equal columns of equal schemas, however they are cut into chunks."""
    return _identity(table.schema, table.columns)


def identity_chunked(array: Any) -> bytes:
    return _identity(pa.schema([pa.field(_COLUMN, array.type)]), [array])


def _identity(schema: Any, columns: Iterable[Any]) -> bytes:
    digest = sha256(schema.serialize().to_pybytes())
    for column in columns:
        packed = _packed(column)
        if packed is None:
            digest.update(tagging.dumps(_listed(column), canonical=True))
            continue
        digest.update(b"%d rows" % len(column))
        for part in packed:
            digest.update(part)
    return digest.digest()


def _packed(column: Any) -> list[Any] | None:
    """Which rows are no nulls, and the values in the width of their type, nulls as zero: nothing else lies in these buffers.

    None for types whose values have no such form. All NaN are one.
    """
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return _packed_texts(column.cast(pa.large_binary()))
    if pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type):
        return _packed_texts(column.cast(pa.large_binary()))
    kind = _as_number(column.type)
    if kind is None:
        return None
    filled = column.cast(kind).fill_null(0)
    if pa.types.is_floating(kind):
        filled = pc.if_else(pc.is_nan(filled), pa.scalar(math.nan, kind), filled)
    valid = _whole(column.is_valid().cast(pa.uint8()))
    return [_values(valid), _values(_whole(filled))]


def _as_number(kind: Any) -> Any:
    """The numbers that its values are: themselves, or as which they lie in the buffers."""
    types = pa.types
    if types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind):
        return kind
    if types.is_boolean(kind):
        return pa.uint8()
    if types.is_date32(kind) or types.is_time32(kind):
        return pa.int32()
    is_long = types.is_date64(kind) or types.is_time64(kind) or types.is_timestamp(kind)
    return pa.int64() if is_long or types.is_duration(kind) else None


def _packed_texts(column: Any) -> list[Any]:
    """The same, with each value's length before all of them."""
    array = _whole(column.fill_null(b""))
    lengths = _values(pc.binary_length(array).cast(pa.int64()))
    valid = _values(_whole(column.is_valid().cast(pa.uint8())))
    _, offsets, data = array.buffers()
    if not len(array) or data is None:
        return [valid, lengths]
    places = memoryview(offsets).cast("q")
    first, last = places[array.offset], places[array.offset + len(array)]
    return [valid, lengths, memoryview(data)[first:last]]


def _whole(column: Any) -> Any:
    """One array, whatever it was cut into."""
    return (
        pa.concat_arrays(column.chunks or [pa.array([], column.type)])
        if isinstance(column, pa.ChunkedArray)
        else column
    )


def _values(array: Any) -> memoryview:
    width = array.type.bit_width // 8
    data = array.buffers()[1]
    if data is None:
        return memoryview(b"")
    return memoryview(data)[array.offset * width : (array.offset + len(array)) * width]


def _listed(column: Any) -> list[Any]:
    """As Python values: what lies in the buffers where a value is null, or beyond the end, is no part of it."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _listed(column.cast(kind.value_type))
    if pa.types.is_date64(kind) or pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
        column = column.cast(pa.int64())  # Python's own types stop at microseconds
    elif pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    return list(column.to_pylist())


_ARRAY = codecs.BinaryCodec("pyarrow.Array", _write_array, _read_array, identity_chunked, ".arrows")


def _array_types(kind: Any) -> Iterable[Any]:
    yield kind
    for each in kind.__subclasses__():
        yield from _array_types(each)


CODECS: dict[type, codecs.Codec | codecs.BinaryCodec] = {
    pa.Table: codecs.BinaryCodec(
        "pyarrow.Table", write_table, read_table, _identity_table, ".arrows"
    ),
    pa.RecordBatch: codecs.BinaryCodec(
        "pyarrow.RecordBatch", _write_batch, _read_batch, _identity_table, ".arrows"
    ),
    pa.ChunkedArray: codecs.BinaryCodec(
        "pyarrow.ChunkedArray", write_chunked, read_chunked, identity_chunked, ".arrows"
    ),
    **{
        kind: _ARRAY
        for kind in set(_array_types(pa.Array))
        if kind.__module__.startswith("pyarrow.")
    },
}
