"""polars: frames and series as an Arrow IPC file."""

from __future__ import annotations

import math
from array import array
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from typing import IO, Any

from headway import codecs, tagging
from headway.errors import UnserializableResult

pl: Any = import_module("polars")

_CODES: dict[Any, str] = {
    pl.Int8: "b",
    pl.Int16: "h",
    pl.Int32: "i",
    pl.Int64: "q",
    pl.UInt8: "B",
    pl.UInt16: "H",
    pl.UInt32: "I",
    pl.UInt64: "Q",
    pl.Float32: "f",
    pl.Float64: "d",
}
"""How the module `array` calls numbers of this width."""
_NO_COLUMNS = b"polars frame without columns "


def _write(frame: Any, sink: IO[bytes]) -> None:
    if not frame.width:  # Arrow IPC of polars forgets how many rows there are
        sink.write(_NO_COLUMNS + str(frame.height).encode())
        return
    for name, dtype in frame.schema.items():
        _check(name, dtype)
    frame.write_ipc(sink, compression="uncompressed")


def _check(name: str, dtype: Any) -> None:
    if dtype == pl.Object:
        raise UnserializableResult(
            "polars column of dtype Object",
            f"column {name!r} holds Python objects; cast it to one of polars' own dtypes",
        )
    inner = getattr(dtype, "inner", None)
    for each in [inner] if inner is not None else getattr(dtype, "fields", ()):
        _check(name, getattr(each, "dtype", each))


def _read(data: bytes) -> Any:
    if data.startswith(_NO_COLUMNS):
        return pl.DataFrame(height=int(data[len(_NO_COLUMNS) :]))
    return pl.read_ipc(BytesIO(data))


def _write_series(series: Any, sink: IO[bytes]) -> None:
    _write(series.to_frame(), sink)


def _read_series(data: bytes) -> Any:
    return _read(data).to_series()


def _identity(frame: Any) -> bytes:
    """Equal for equal columns of equal dtypes, however they are cut into chunks; all NaN are one."""
    digest = sha256(repr((frame.height, list(frame.schema.items()))).encode())
    for series in frame:
        _check(series.name, series.dtype)
        packed = _packed(series)
        if packed is None:
            digest.update(tagging.dumps(_listed(series), canonical=True))
            continue
        for part in packed:
            digest.update(part)
    return digest.digest()


def _packed(series: Any) -> list[bytes] | None:
    """Which rows are no nulls, and the values in the width of their dtype, nulls as zero. None for dtypes without such a form."""
    valid = bytes(series.is_not_null().to_list())
    if series.dtype == pl.String:
        filled = series.fill_null("")
        lengths = array("Q", filled.str.len_bytes().to_list())
        return [valid, lengths.tobytes(), "".join(filled.to_list()).encode()]
    if series.dtype == pl.Boolean:
        return [valid, bytes(series.fill_null(value=False).to_list())]
    if isinstance(series.dtype, pl.Datetime | pl.Duration | pl.Time | pl.Date):
        series = series.to_physical()
    code = _CODES.get(series.dtype)
    if code is None:
        return None
    filled = series.fill_null(0)
    if series.dtype.is_float():
        filled = filled.fill_nan(math.nan)  # all NaN are one
    return [valid, array(code, filled.to_list()).tobytes()]


def _listed(series: Any) -> list[Any]:
    if isinstance(series.dtype, pl.Datetime | pl.Duration | pl.Time):
        series = series.to_physical()  # Python's own types stop at microseconds
    return list(series.to_list())


def _refuse_lazy(_value: Any, _sink: IO[bytes]) -> None:
    raise UnserializableResult(
        "polars.LazyFrame", "it is a plan and no data; return the frame of its collect()"
    )


def _refuse_identity(value: Any) -> bytes:
    _refuse_lazy(value, BytesIO())
    return b""


CODECS: dict[type, codecs.Codec | codecs.BinaryCodec] = {
    pl.DataFrame: codecs.BinaryCodec("polars.DataFrame", _write, _read, _identity, ".arrow"),
    pl.Series: codecs.BinaryCodec(
        "polars.Series",
        _write_series,
        _read_series,
        lambda series: _identity(series.to_frame()),
        ".arrow",
    ),
    pl.LazyFrame: codecs.BinaryCodec("polars.LazyFrame", _refuse_lazy, _read, _refuse_identity, ""),
}
