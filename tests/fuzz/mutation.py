"""Ways to make a wrong input from a right one: bytes, JSON, protobuf messages field by field, and the order of pieces."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from fuzz.corpus import Script

# Bytes ------------------------------------------------------------------------------------------------------

_BYTES = (0, 1, 0x20, 0x22, 0x5B, 0x7B, 0x7F, 0x80, 0xC0, 0xED, 0xFE, 0xFF)
_MARKS = (
    b"\x00",
    b"\xff\xff\xff\xff",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"NaN",
    b"1e999",
)


def bytes_(random: Random, data: bytes) -> bytes:
    """One to four small changes of bytes."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(_BYTE_CHANGES)(random, data)
    return data


def _flip(random: Random, data: bytes) -> bytes:
    if not data:
        return b"\x00"
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]


def _set(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + bytes([random.choice(_BYTES)]) + data[at + 1 :]


def _cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _remove(random: Random, data: bytes) -> bytes:
    begin = random.randrange(len(data) + 1)
    return data[:begin] + data[begin + random.randrange(1, 17) :]


def _double(random: Random, data: bytes) -> bytes:
    begin = random.randrange(len(data) + 1)
    end = begin + random.randrange(1, 65)
    return data[:end] + data[begin:end] * random.choice((1, 1, 3)) + data[end:]


def _mark(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(_MARKS) + data[at:]


def _number(random: Random, data: bytes) -> bytes:
    """A length or a counter, most likely."""
    at = random.randrange(max(len(data) - 3, 1))
    value = random.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 20, (1 << 20) + 1, len(data)))
    return data[:at] + struct.pack(">I", value) + data[at + 4 :]


def _repeat(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    piece = random.choice((b"[", b'{"a":', b"\x0a", b"A", b"\x00"))
    return data[:at] + piece * random.choice((3, 200, 5_000, 100_000)) + data[at:]


_BYTE_CHANGES: Sequence[Callable[[Random, bytes], bytes]] = (
    *(_flip, _flip, _set, _cut, _remove, _double, _mark, _number),
    *(_flip, _flip, _set, _cut, _remove, _double, _mark, _number, _repeat),
)

# JSON -------------------------------------------------------------------------------------------------------

_VALUES: Sequence[Any] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *("", "a", "\0", "\ud800", "\U0001f600", "root", "é" * 300, "x" * 70_000, [], {}, [[]], {"a": {}}, ["a"], [None]),
)  # fmt: skip


def json_(random: Random, text: bytes) -> bytes:
    """One value of a JSON document replaced, removed, renamed or wrapped. What is no JSON changes by bytes."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return bytes_(random, text)
    changed = _json_value(random, document)
    try:
        return json.dumps(changed, ensure_ascii=random.random() < 0.5).encode(
            errors="surrogatepass"
        )
    except (ValueError, RecursionError):  # more digits or brackets than Python writes
        return bytes_(random, text)


def _json_value(random: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.85:
        return _json_object(random, value)
    if isinstance(value, list) and value and random.random() < 0.6:
        at = random.randrange(len(value))
        return [*value[:at], _json_value(random, value[at]), *value[at + 1 :]]
    if random.random() < 0.1:
        return deep(random.choice((10, 500, 900)), value)
    return random.choice(_VALUES)


def _json_object(random: Random, value: dict[str, Any]) -> dict[str, Any]:
    name = random.choice(list(value))
    match random.randrange(8):
        case 0:
            return {k: v for k, v in value.items() if k != name}
        case 1:
            return {**value, random.choice(("", "\0", "type", "extra", "\ud800")): value[name]}
        case 2:
            return {**value, random.choice(list(value)): value[name]}
        case _:
            return {**value, name: _json_value(random, value[name])}


def deep(depth: int, value: Any) -> Any:
    for _ in range(depth):
        value = [value]
    return value


# Protobuf ---------------------------------------------------------------------------------------------------

_INTEGERS = (0, 1, -1, 2, 255, 256, 2**15, 2**31 - 1, -(2**31), 2**31, 2**62, 2**63 - 1, -(2**63))
_TEXTS = (
    "",
    "a",
    "\0",
    "a\0b",
    "\u202e",
    "x" * 300,
    "x" * 70_000,
    "é" * 5_000,
    "'; --",
    "../..",
    "AttemptExited",
)
_BLOBS = (b"", b"\0", bytes(16), b"\xff" * 16, b"\xff" * 15, bytes(32), b"x" * 70_000, b"x" * 300_000, b"\x28\xb5\x2f\xfd")  # fmt: skip
_SIGNED_32 = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_ENUM}


def message(random: Random, kind: type[Message], data: bytes, *, times: int = 3) -> bytes:
    """One to `times` fields, however deep, set to something else; sometimes the encoding itself is broken."""
    if random.random() < 0.15:
        return bytes_(random, data)
    made = kind()
    try:
        made.ParseFromString(data)
    except DecodeError:
        return bytes_(random, data)
    for _ in range(random.randint(1, times)):
        _change(random, made)
    return made.SerializeToString()


def _change(random: Random, made: Message) -> None:
    """Every field of every message has its turn: a set one is changed or cleared, an unset one is set."""
    fields = list(made.DESCRIPTOR.fields)
    if not fields:
        return
    present = [field for field, _ in made.ListFields()]
    field = random.choice(present if present and random.random() < 0.8 else fields)
    if random.random() < 0.08:
        made.ClearField(field.name)
    elif field.is_repeated:
        _change_repeated(random, made, field)
    elif field.message_type is not None:
        inner = getattr(made, field.name)
        inner.SetInParent()
        _change(random, inner)
    else:
        setattr(made, field.name, _scalar(random, field))


def _change_repeated(random: Random, made: Message, field: FieldDescriptor) -> None:
    items = getattr(made, field.name)
    is_message = field.message_type is not None
    choice = random.randrange(6)
    if choice == 0 and items:
        del items[random.randrange(len(items))]
    elif choice == 1 and items:
        for _ in range(random.choice((1, 1, 3, 300))):
            items.append(items[random.randrange(len(items))])
    elif is_message:
        _change(random, random.choice(items) if items and choice != 2 else items.add())
    elif items:
        items[random.randrange(len(items))] = _scalar(random, field)
    else:
        items.append(_scalar(random, field))


def _scalar(random: Random, field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return random.random() < 0.5
        case FieldDescriptor.CPPTYPE_STRING:
            return random.choice(_BLOBS if field.type == FieldDescriptor.TYPE_BYTES else _TEXTS)
        case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_ENUM:
            return random.choice([n for n in _INTEGERS if -(2**31) <= n < 2**31])
        case _:
            return random.choice(_INTEGERS)


# Order ------------------------------------------------------------------------------------------------------


def order(random: Random, script: Script) -> Script:
    """Pieces twice, missing, or in another order."""
    pieces = list(script)
    if not pieces:
        return script
    at = random.randrange(len(pieces))
    match random.randrange(4):
        case 0:
            del pieces[at]
        case 1:
            pieces.insert(random.randrange(len(pieces) + 1), pieces[at])
        case 2:
            other = random.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        case _:
            del pieces[at + 1 :]
    return tuple(pieces)


def one_piece(random: Random, script: Script, change: Callable[[Random, bytes], bytes]) -> Script:
    """One of the pieces changed; all others as they were."""
    if not script:
        return (change(random, b""),)
    at = random.randrange(len(script))
    return (*script[:at], change(random, script[at]), *script[at + 1 :])
