"""pyarrow: tables, batches and arrays as an Arrow IPC stream."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from importlib import import_module
from typing import IO, Any

from headway import codecs, tagging
from headway.errors import UnserializableResult

pa: Any = import_module("pyarrow")

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
        digest.update(tagging.dumps(_listed(column), canonical=True))
    return digest.digest()


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
