"""Readers of single fields of a frame, which anybody may have written: None leaves a fact's field unset."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from headway_agent.connection.text import cut, sanitised, word

NAME_BYTES = 1_024

Frame = Mapping[str, Any]
Getter = Callable[[Frame], Any]

_HEX = re.compile(r"(?:[0-9a-f]{2}){1,64}")


def integer_of(name: str, bits: int = 64) -> Getter:
    limit = 1 << (bits - 1)

    def get(frame: Frame) -> int | None:
        value = frame.get(name)
        return value if type(value) is int and -limit <= value < limit else None

    return get


def text_of(name: str, most: int = NAME_BYTES) -> Getter:
    def get(frame: Frame) -> str | None:
        value = frame.get(name)
        return cut(sanitised(value), most) if type(value) is str else None

    return get


def word_of(name: str) -> Getter:
    def get(frame: Frame) -> str | None:
        return word(frame.get(name))

    return get


def call_of(name: str) -> Getter:
    """A call's key; the flow itself, `root`, is the empty one."""

    def get(frame: Frame) -> bytes | None:
        value = frame.get(name)
        if type(value) is not str or value == "root":
            return None
        try:
            return bytes.fromhex(value)
        except ValueError:
            return hashlib.sha256(value.encode("utf-8", "replace")).digest()[:16]

    return get


def digest_of(name: str) -> Getter:
    def get(frame: Frame) -> bytes | None:
        value = frame.get(name)
        return bytes.fromhex(value) if type(value) is str and _HEX.fullmatch(value) else None

    return get


def choice_of(name: str, choices: Mapping[str, Any]) -> Getter:
    def get(frame: Frame) -> Any:
        value = frame.get(name)
        return choices.get(value) if type(value) is str else None

    return get


KEY_BYTES = 16
_INT64 = 1 << 63
_KEYS = re.compile(r"(?:[0-9a-f]{32}){1,4096}")


def keys_of(name: str) -> Getter:
    """Many keys, each of 32 hex digits, in one text."""

    def get(frame: Frame) -> bytes | None:
        value = frame.get(name)
        return bytes.fromhex(value) if type(value) is str and _KEYS.fullmatch(value) else None

    return get


_calls = keys_of("calls")


def count(frame: Frame) -> int | None:
    """How many calls a range has; None where its keys can't be read."""
    found = _calls(frame)
    return None if found is None else len(found) // KEY_BYTES


def integers_of(name: str) -> Getter:
    """As many numbers as there are calls; none where one of them is no number."""

    def get(frame: Frame) -> list[int] | None:
        values = frame.get(name)
        if type(values) is not list or len(values) != count(frame):
            return None
        return values if all(type(v) is int and -_INT64 <= v < _INT64 for v in values) else None

    return get
