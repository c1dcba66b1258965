"""numpy: arrays as .npy without pickle, scalars as their type and number."""

from __future__ import annotations

from hashlib import sha256
from importlib import import_module
from io import BytesIO
from typing import IO, Any

from headway import codecs
from headway.errors import UnserializableResult

np: Any = import_module("numpy")

_PLAIN_KINDS = "?bhilqBHILQefd"
"""Type characters of scalars that are a Python bool, int or float without loss."""


_VERSION = (3, 0)
"""The form of .npy that takes any name of a field."""
_LONGEST_HEADER = 1 << 20


def write(array: Any, sink: IO[bytes]) -> None:
    """Raises UnserializableResult for what .npy cannot give back exactly."""
    check(array.dtype)
    np.lib.format.write_array(sink, array, version=_VERSION, allow_pickle=False)


def read(data: bytes) -> Any:
    """The array of a .npy text. Raises ValueError."""
    file = BytesIO(data)
    array = read_from(file)
    if file.read(1):
        raise ValueError("there is more than one array")
    return array


def read_from(file: IO[bytes]) -> Any:
    """The array that begins here; the file is then behind it."""
    return np.lib.format.read_array(file, allow_pickle=False, max_header_size=_LONGEST_HEADER)


def check(dtype: Any) -> None:
    """Raises UnserializableResult where .npy does not keep the dtype."""
    if dtype.hasobject:
        raise UnserializableResult(
            f"numpy array of dtype {dtype}",
            "its elements are Python objects; convert it with astype to numbers or fixed-width strings, or use tolist()",
        )
    if dtype.metadata:
        raise UnserializableResult(
            f"numpy array of dtype {dtype}",
            ".npy does not keep the dtype's metadata; convert it with astype to a dtype without",
        )
    try:
        kept = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))
    except (ValueError, TypeError, UserWarning) as error:
        raise UnserializableResult(f"numpy array of dtype {dtype}", str(error)) from error
    if kept != dtype or kept.type is not dtype.type:
        raise UnserializableResult(
            f"numpy array of dtype {dtype}", ".npy does not keep all of its dtype; convert it"
        )


def identity(array: Any) -> bytes:
    """Equal for arrays of equal dtype, shape and elements, whatever their layout; all NaN are one."""
    check(array.dtype)
    digest = sha256(repr((_described(array.dtype), array.shape)).encode())
    _feed(digest, array)
    return digest.digest()


def _described(dtype: Any) -> Any:
    return np.lib.format.dtype_to_descr(dtype)


def _feed(digest: Any, array: Any) -> None:
    dtype = array.dtype
    if dtype.names is not None:
        # Field by field: what lies between them is no part of the value.
        for name in dtype.names:
            _feed(digest, array[name])
        return
    if dtype.kind in "fc":
        array = _one_nan(array)
    digest.update(np.asarray(array, order="C").tobytes())


def _one_nan(array: Any) -> Any:
    missing = np.isnan(array)
    if not missing.any():
        return array
    copy = np.array(array)
    if copy.dtype.kind == "c":
        copy.real[np.isnan(copy.real)] = np.nan
        copy.imag[np.isnan(copy.imag)] = np.nan
    else:
        copy[missing] = np.nan
    return copy


def _encode_scalar(value: Any) -> list[Any]:
    dtype = value.dtype
    if dtype.char in _PLAIN_KINDS:
        return [dtype.str, value.item()]
    sink = BytesIO()
    write(np.asarray(value), sink)
    data = sink.getvalue()
    # A text's or a byte string's last NULs are lost in an array.
    if dtype.kind in "US" and read(data)[()] != value:
        raise UnserializableResult(
            f"numpy.{type(value).__name__}", "it ends with a NUL; use str() or bytes()"
        )
    return ["npy", data]


def _decode_scalar(parts: list[Any]) -> Any:
    dtype, item = parts
    return read(item)[()] if dtype == "npy" else np.dtype(dtype).type(item)


_SCALAR = codecs.Codec("numpy.scalar", _encode_scalar, _decode_scalar)
_ARRAY = codecs.BinaryCodec("numpy.ndarray", write, read, identity, ".npy")

CODECS: dict[type, codecs.Codec | codecs.BinaryCodec] = {
    np.ndarray: _ARRAY,
    **dict.fromkeys(set(np.sctypeDict.values()) - {np.object_}, _SCALAR),
}
