"""pandas: frames, series and indexes as a list of blobs (.npy of each column) behind a text that says how they go together."""

from __future__ import annotations

import struct
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from typing import IO, Any

from headway import codecs, tagging
from headway.formats import numpy_values
from headway.formats.pandas_arrays import (
    INDEXES,
    TYPES,
    Writing,
    describe,
    describe_index,
    make,
    make_index,
    make_zone,
    np,
    zone,
)

pd: Any = import_module("pandas")

_MAGIC = b"headway pandas 1\n"
_LENGTH = struct.Struct(">Q")


def _write(value: Any, sink: IO[bytes]) -> None:
    out = Writing(canonical=False)
    text = tagging.dumps(_described(value, out))
    sink.write(_MAGIC + _LENGTH.pack(len(text)))
    sink.write(text)
    for block in out.blocks:
        numpy_values.write(block, sink)


def _read(data: bytes) -> Any:
    file = BytesIO(data)
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("this is no value of pandas, or one of a later form")
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    said = tagging.loads(file.read(length))
    blocks = []
    while file.tell() < len(data):
        blocks.append(numpy_values.read_from(file))
    return _made(said, blocks)


def _identity(value: Any) -> bytes:
    """Equal for equal values of equal dtypes."""
    out = Writing(canonical=True)
    digest = sha256(tagging.dumps(_described(value, out), canonical=True))
    for block in out.blocks:
        digest.update(numpy_values.identity(block))
    return digest.digest()


def _described(value: Any, out: Writing) -> dict[str, Any]:
    if isinstance(value, pd.DataFrame):
        columns = (value.iloc[:, at].array for at in range(value.shape[1]))
        return {
            "kind": "DataFrame",
            "columns": describe_index(value.columns, out),
            "index": describe_index(value.index, out),
            "arrays": [describe(array, out) for array in columns],
            **_extras(value),
        }
    if isinstance(value, pd.Series):
        return {
            "kind": "Series",
            "name": value.name,
            "index": describe_index(value.index, out),
            "array": describe(value.array, out),
            **_extras(value),
        }
    if isinstance(value, pd.Index):
        return {"kind": "Index", "index": describe_index(value, out)}
    return {"kind": "array", "array": describe(value, out)}


def _extras(value: Any) -> dict[str, Any]:
    return {"attrs": dict(value.attrs), "unique": not value.flags.allows_duplicate_labels}


def _made(said: dict[str, Any], blocks: list[Any]) -> Any:
    match said["kind"]:
        case "DataFrame":
            return _with_extras(_frame(said, blocks), said)
        case "Series":
            index = make_index(said["index"], blocks)
            series = _series(make(said["array"], blocks), index)
            series.name = said["name"]
            return _with_extras(series, said)
        case "Index":
            return make_index(said["index"], blocks)
        case _:
            return make(said["array"], blocks)


def _frame(said: dict[str, Any], blocks: list[Any]) -> Any:
    index = make_index(said["index"], blocks)
    arrays = (make(each, blocks) for each in said["arrays"])
    frame = pd.DataFrame(
        {at: _series(array, index) for at, array in enumerate(arrays)}, index=index
    )
    # The names come last: they may be equal to each other.
    frame.columns = make_index(said["columns"], blocks)
    return frame


def _series(array: Any, index: Any) -> Any:
    return pd.Series(array, index=index, dtype=array.dtype)


def _with_extras(value: Any, said: dict[str, Any]) -> Any:
    value.attrs.update(said["attrs"])
    return value.set_flags(allows_duplicate_labels=False) if said["unique"] else value


def _encode_moment(value: Any) -> list[Any]:
    utc = value if value.tz is None else value.tz_convert("UTC").tz_localize(None)
    return [int(utc.to_numpy().view("i8")), value.unit, zone(value.tz)]


def _decode_moment(parts: list[Any]) -> Any:
    number, unit, place = parts
    moment = pd.Timestamp(np.datetime64(number, unit))
    return moment if place is None else moment.tz_localize("UTC").tz_convert(make_zone(place))


def _encode_delta(value: Any) -> list[Any]:
    return [int(value.to_numpy().view("i8")), value.unit]


def _decode_delta(parts: list[Any]) -> Any:
    return pd.Timedelta(np.timedelta64(*parts))


_VALUE = codecs.BinaryCodec("pandas.value", _write, _read, _identity, ".pandas")
CODECS: dict[type, codecs.Codec | codecs.BinaryCodec] = {
    **dict.fromkeys((pd.DataFrame, pd.Series, *INDEXES, *TYPES), _VALUE),
    pd.Timestamp: codecs.Codec("pandas.Timestamp", _encode_moment, _decode_moment),
    pd.Timedelta: codecs.Codec("pandas.Timedelta", _encode_delta, _decode_delta),
    type(pd.NaT): codecs.Codec("pandas.NaT", lambda _: None, lambda _: pd.NaT),
    type(pd.NA): codecs.Codec("pandas.NA", lambda _: None, lambda _: pd.NA),
    pd.Period: codecs.Codec(
        "pandas.Period",
        lambda v: [v.ordinal, v.freqstr],
        lambda v: pd.Period(ordinal=v[0], freq=v[1]),
    ),
    pd.Interval: codecs.Codec(
        "pandas.Interval",
        lambda v: [v.left, v.right, v.closed],
        lambda v: pd.Interval(v[0], v[1], closed=v[2]),
    ),
}
