"""Python values as JSON and back, exactly: what JSON lacks is written as `{"$": tag, ...}`.

The text depends on the value alone, so that it can also identify the value (headway.digests).
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from functools import cached_property
from importlib import import_module
from typing import Any
from uuid import UUID

from headway import codecs, formats
from headway.codecs import BinaryCodec, Codec
from headway.errors import UnserializableResult
from headway.futures import Future, Futures, allow_failure
from headway.secrets import Secret

TAG = "$"
_SCALARS = frozenset({str, int, float, bool, type(None)})
_KEYS = frozenset({str})
_DIGITS_BITS_MAX = 1024  # beyond, decimal conversion is slow and limited by the interpreter


def register(kind: type, codec: Codec) -> None:
    if (
        kind in _RESERVED_TYPES
        or codec.tag in _RESERVED_TAGS
        or formats.is_ours(codec.tag)
        or (kind not in codecs.by_type and codec.tag in codecs.by_tag)
    ):
        raise ValueError(f"type {kind.__name__} or codec name {codec.tag!r} is taken")
    codecs.by_type[kind] = codec
    codecs.by_tag[codec.tag] = codec


KeyOf = Callable[[Any], str | None]


def _no_key(_value: Any) -> str | None:
    return None


def dumps(value: Any, *, canonical: bool = False) -> bytes:
    """The value's text in UTF-8; `canonical`: as that function. Raises UnserializableResult."""
    return _text(value, _no_key if canonical else None)


def canonical(value: Any, key_of: KeyOf = _no_key) -> bytes:
    """One text for equal values, another for any other value: dicts in one order, futures as the key of their call.

    `key_of` is asked about objects that have no text of their own: the key of the call whose result they are, or None.
    Raises UnserializableResult.
    """
    return _text(value, key_of)


def loads(text: str | bytes) -> Any:
    """The value of a text. Raises whatever a foreign or outdated text makes fail: callers treat any error as absence."""
    return decode(json.loads(text))


def _text(value: Any, key_of: KeyOf | None) -> bytes:
    try:
        try:
            return _json(_Encoder(key_of, careful=False).encode(value))
        except ValueError:
            # Somewhere a NaN, a huge number or a lone surrogate: rare enough to look at each scalar only now.
            return _json(_Encoder(key_of, careful=True).encode(value))
    except RecursionError:
        raise UnserializableResult(
            type(value).__name__, "it is nested too deeply or contains itself"
        ) from None
    except UnserializableResult:
        raise
    except Exception as error:
        # A codec of the user's, a dataclass without one of its fields, a dict that another thread changes.
        raise UnserializableResult(
            type(value).__qualname__, f"encoding it raised {type(error).__name__}"
        ) from error


def _json(tagged: Any) -> bytes:
    return json.dumps(tagged, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class _Encoder:
    """Turns a value into what json.dumps writes: canonical with `key_of`, else so that it can be read back.

    `careful` looks at each number and string.
    """

    def __init__(self, key_of: KeyOf | None, *, careful: bool) -> None:
        self._key_of = key_of
        self._canonical = key_of is not None
        self._careful = careful

    def encode(self, value: Any) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return self._scalar(value) if self._careful else value
        if kind is list:
            return self._items(value)
        if kind is dict:
            return self._dict(value)
        codec = codecs.of_type(kind)
        if codec is None:
            return self._composite(value, kind)
        if isinstance(codec, BinaryCodec):
            return self._binary(value, codec)
        return {TAG: codec.tag, "v": self.encode(codec.encode(value))}

    def _binary(self, value: Any, codec: BinaryCodec) -> dict[str, str]:
        if self._canonical:
            return {TAG: codec.tag, "sha256": hashlib.sha256(codec.identity(value)).hexdigest()}
        return {TAG: codec.tag, "v": base64.b64encode(codec.bytes_of(value)).decode()}

    def _items(self, values: Iterable[Any]) -> list[Any]:
        listed = list(values)
        if not self._careful and _SCALARS.issuperset(map(type, listed)):
            return listed
        return [self.encode(each) for each in listed]

    def _dict(self, value: dict[Any, Any]) -> Any:
        if _KEYS.issuperset(map(type, value)) and TAG not in value and not self._careful:
            return self._named(value)
        return {
            TAG: "dict",
            "v": self._pairs([[self.encode(k), self.encode(v)] for k, v in value.items()]),
        }

    def _named(self, value: dict[str, Any]) -> dict[str, Any]:
        if self._canonical:
            value = dict(sorted(value.items()))
        if _SCALARS.issuperset(map(type, value.values())):
            return value
        return {name: self.encode(each) for name, each in value.items()}

    def _pairs(self, pairs: list[Any]) -> list[Any]:
        return sorted(pairs, key=_json) if self._canonical else pairs

    def _composite(self, value: Any, kind: type) -> Any:
        if kind is tuple:
            return {TAG: "tuple", "v": self._items(value)}
        if kind is Future and self._canonical and value.key:
            return {TAG: "call", "v": value.key}
        if kind is Futures:
            return self._items(value)
        if kind is allow_failure and self._canonical:
            return {TAG: "allow_failure", "v": self.encode(value.value)}
        if kind is set or kind is frozenset:
            return {
                TAG: kind.__name__,
                "v": sorted((self.encode(each) for each in value), key=_json),
            }
        if isinstance(value, Enum):
            by_value = isinstance(value, Flag)
            return {
                TAG: "flag" if by_value else "enum",
                "t": _path(kind),
                "v": value.value if by_value else value.name,
            }
        if hasattr(kind, "__dataclass_fields__"):
            return self._dataclass(value, kind)
        if hasattr(kind, "__pydantic_fields__"):
            return self._pydantic(value, kind)
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return self._namedtuple(value, kind)
        return self._made_by_call(value, kind)

    def _namedtuple(self, value: Any, kind: type) -> Any:
        if _beside(value, kind, ()):
            raise UnserializableResult(kind.__qualname__, "it has attributes of its own")
        return {TAG: "namedtuple", "t": _path(kind), "v": self._items(value)}

    def _dataclass(self, value: Any, kind: type) -> Any:
        """A dataclass by its fields, and by what else `__post_init__` or a class below it has put beside them."""
        if isinstance(value, _CONTAINERS):
            raise UnserializableResult(kind.__qualname__, "it is a container too")
        names = _stored_fields(kind)
        fields = {name: self.encode(getattr(value, name)) for name in names}
        tagged = {TAG: "dataclass", "t": _path(kind), "v": fields}
        if more := _beside(value, kind, names):
            tagged["more"] = {name: self.encode(value.__dict__[name]) for name in more}
        return tagged

    def _pydantic(self, value: Any, kind: type) -> Any:
        """A pydantic model by what it holds: its fields, those that it was not declared with, and which were given."""
        if value.__pydantic_private__:
            raise UnserializableResult(kind.__qualname__, "it has private attributes")
        held = value.__dict__
        names = [name for name in kind.__pydantic_fields__ if name in held]  # type: ignore[attr-defined] # the caller asked for it
        fields = {name: self.encode(held[name]) for name in names}
        extra = {name: self.encode(each) for name, each in (value.__pydantic_extra__ or {}).items()}
        if self._canonical:
            fields, extra = dict(sorted(fields.items())), dict(sorted(extra.items()))
        given = sorted(value.__pydantic_fields_set__)
        return {TAG: "pydantic", "t": _path(kind), "v": fields, "extra": extra, "given": given}

    def _made_by_call(self, value: Any, kind: type) -> Any:
        key = self._key_of(value) if self._key_of is not None else None
        if key is None:
            raise UnserializableResult(f"{kind.__module__}.{kind.__qualname__}")
        return {TAG: "call", "v": key}

    def _scalar(self, value: Any) -> Any:
        kind = type(value)
        if kind is float and (value != value or value in _INFINITE):  # noqa: PLR0124 - only NaN differs from itself
            return {TAG: "float", "v": repr(value)}
        if kind is int and value.bit_length() > _DIGITS_BITS_MAX:
            return {TAG: "int", "v": hex(value)}
        if kind is str and not _is_valid(value):
            return {
                TAG: "str",
                "v": base64.b64encode(value.encode("utf-32-le", "surrogatepass")).decode(),
            }
        return value


_INFINITE = (float("inf"), float("-inf"))


def _is_valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stored_fields(kind: type) -> list[str]:
    """Names of a dataclass's fields without class and init-only variables (dataclasses itself costs 10 ms to import)."""
    fields = kind.__dataclass_fields__.items()  # type: ignore[attr-defined] # the caller asked for it
    return [name for name, field in fields if field._field_type.name == "_FIELD"]  # noqa: SLF001 - as dataclasses.fields does


_CONTAINERS = (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, complex)


def _beside(value: Any, kind: type, names: Collection[str]) -> list[str]:
    """Attributes that are no fields, but those that are computed when they are asked for. Raises UnserializableResult."""
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in names and slot not in {"__dict__", "__weakref__"}:
                raise UnserializableResult(kind.__qualname__, f"its slot {slot!r} is no field")
    held = getattr(value, "__dict__", None) or {}
    more = held.keys() - set(names)
    return sorted(n for n in more if not isinstance(getattr(kind, n, None), cached_property))


def _path(kind: type) -> str:
    if "<locals>" in kind.__qualname__:
        raise UnserializableResult(kind.__qualname__, "its class is defined inside a function")
    return f"{kind.__module__}:{kind.__qualname__}"


def _class(tagged: dict[str, Any], is_meant: Callable[[type], bool]) -> Any:
    """The class that was written down. What is read may come from a store that others write to: nothing else is called."""
    module, _, name = tagged["t"].partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and is_meant(found)):
        raise ValueError(f"{tagged['t']} is no {tagged[TAG]}")
    return found


def decode(tagged: Any) -> Any:
    kind = type(tagged)
    if kind is list:
        return (
            tagged if _SCALARS.issuperset(map(type, tagged)) else [decode(each) for each in tagged]
        )
    if kind is not dict:
        return tagged
    tag = tagged.get(TAG)
    if tag is None:
        return {name: decode(each) for name, each in tagged.items()}
    codec = codecs.named(tag)
    if codec is None:
        return _STRUCTURES[tag](tagged)
    if isinstance(codec, BinaryCodec):
        return codec.read(base64.b64decode(tagged["v"], validate=True))
    return codec.decode(decode(tagged["v"]))


def _decode_dataclass(tagged: dict[str, Any]) -> Any:
    kind = _class(tagged, lambda kind: hasattr(kind, "__dataclass_fields__"))
    fields = tagged["v"]
    if set(fields) != set(_stored_fields(kind)):
        raise ValueError(f"{tagged['t']} has other fields now")
    value = object.__new__(kind)
    for name, each in fields.items():
        object.__setattr__(value, name, decode(each))
    if more := tagged.get("more"):
        value.__dict__.update((name, decode(each)) for name, each in more.items())
    return value


def _decode_pydantic(tagged: dict[str, Any]) -> Any:
    kind = _class(tagged, lambda kind: hasattr(kind, "__pydantic_fields__"))
    fields = {name: decode(each) for name, each in tagged["v"].items()}
    if not set(kind.__pydantic_fields__) <= set(fields):
        raise ValueError(f"{tagged['t']} has other fields now")
    extra = {name: decode(each) for name, each in tagged["extra"].items()}
    return kind.model_construct(_fields_set=set(tagged["given"]), **fields, **extra)


def _decode_namedtuple(tagged: dict[str, Any]) -> Any:
    kind = _class(tagged, lambda kind: issubclass(kind, tuple) and hasattr(kind, "_fields"))
    return kind._make(decode(tagged["v"]))


_STRUCTURES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "tuple": lambda t: tuple(decode(t["v"])),
    "set": lambda t: set(decode(t["v"])),
    "frozenset": lambda t: frozenset(decode(t["v"])),
    "dict": lambda t: {decode(name): decode(each) for name, each in t["v"]},
    "enum": lambda t: _class(t, lambda kind: issubclass(kind, Enum))[t["v"]],
    "flag": lambda t: _class(t, lambda kind: issubclass(kind, Flag))(t["v"]),
    "dataclass": _decode_dataclass,
    "namedtuple": _decode_namedtuple,
    "pydantic": _decode_pydantic,
    "float": lambda t: float(t["v"]),
    "int": lambda t: int(t["v"], 16),
    "str": lambda t: base64.b64decode(t["v"]).decode("utf-32-le", "surrogatepass"),
}


def _encode_zone(value: datetime | time) -> str:
    """Empty for no zone and for fixed offsets (they stand in the text), else the name in the zone database."""
    zone = value.tzinfo
    if zone is None or type(zone) is timezone:
        return ""
    name = getattr(zone, "key", None)
    if type(zone).__name__ != "ZoneInfo" or not isinstance(name, str):
        raise UnserializableResult(f"{type(value).__name__} with the time zone {zone!r}")
    return name


def _encode_moment(value: datetime | time) -> list[Any]:
    zone = _encode_zone(value)
    text = (
        value.replace(tzinfo=None, fold=0).isoformat()
        if zone
        else value.replace(fold=0).isoformat()
    )
    return [text, zone, value.fold]


def _decode_moment(kind: type[datetime] | type[time], parts: list[Any]) -> Any:
    text, zone, fold = parts
    value = kind.fromisoformat(text)
    if zone:
        value = value.replace(tzinfo=import_module("zoneinfo").ZoneInfo(zone))
    return value.replace(fold=fold)


_STANDARD: dict[type, Codec] = {
    bytes: Codec("bytes", lambda v: base64.b64encode(v).decode(), base64.b64decode),
    bytearray: Codec(
        "bytearray",
        lambda v: base64.b64encode(v).decode(),
        lambda v: bytearray(base64.b64decode(v)),
    ),
    complex: Codec("complex", lambda v: [v.real, v.imag], lambda v: complex(*v)),
    range: Codec("range", lambda v: [v.start, v.stop, v.step], lambda v: range(*v)),
    datetime: Codec("datetime", _encode_moment, lambda v: _decode_moment(datetime, v)),
    time: Codec("time", _encode_moment, lambda v: _decode_moment(time, v)),
    date: Codec("date", date.isoformat, date.fromisoformat),
    timedelta: Codec(
        "timedelta", lambda v: [v.days, v.seconds, v.microseconds], lambda v: timedelta(*v)
    ),
    Decimal: Codec("decimal", str, Decimal),
    UUID: Codec("uuid", str, UUID),
    Secret: Codec("secret", lambda v: v.name, Secret),
    type(pathlib.Path()): Codec("path", str, pathlib.Path),
    pathlib.PurePosixPath: Codec("pure_posix_path", str, pathlib.PurePosixPath),
    pathlib.PureWindowsPath: Codec("pure_windows_path", str, pathlib.PureWindowsPath),
}
for _kind, _codec in _STANDARD.items():
    codecs.add(_kind, _codec)
_RESERVED_TYPES = frozenset({*_SCALARS, *_STANDARD, list, dict, tuple, set, frozenset})
_RESERVED_TAGS = frozenset({*_STRUCTURES, *codecs.by_tag, "call", "allow_failure"})
