"""The forms in which a secret's value may turn up in text: as it is, escaped, percent-encoded, in base64 or hex."""

from __future__ import annotations

import json
from base64 import b64encode, encodebytes
from collections.abc import Iterator

LEAST = 5
"""Characters of a form. A shorter one would be found in what has nothing to do with the secret."""
LEAST_LINE = 8
"""Characters of a line of a longer value, such as a key's, that is looked for by itself."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_BREAKS = 57
"""Bytes that make one line of base64 in mail and `base64.encodebytes`."""


def as_bytes(value: str) -> bytes:
    """What stands in files and streams. Bytes that are no UTF-8 are lone surrogates in the text."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")


def forms_of(value: str) -> set[str]:
    """All forms that are long enough to be looked for; none if the value itself is too short."""
    if len(value) < LEAST:
        return set()
    found = {form for plain in (value, *_long_lines(value)) for form in _escaped(plain)}
    found.update(_encoded(as_bytes(value)))
    # Once more, for text that stands in a JSON string: frames do, and so do lines of structured logs.
    found |= {_in_json(form) for form in found}
    return {form for form in found if len(form) >= LEAST}


def _long_lines(value: str) -> Iterator[str]:
    lines = value.splitlines()
    for line in map(str.strip, lines if len(lines) > 1 else ()):
        if len(line) >= LEAST_LINE and not line.startswith(
            "-----"
        ):  # of keys: says only what it is
            yield line


def _escaped(value: str) -> Iterator[str]:
    yield value
    yield repr(value)[1:-1]
    yield repr(as_bytes(value))[2:-1]
    yield json.dumps(value)[1:-1]
    yield _in_json(value)
    yield value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield _html(value)
    raw = as_bytes(value)
    for safe in (b"", b"/"):
        for style in ("%%%02X", "%%%02x"):
            quoted = _quoted(raw, _UNRESERVED | set(safe), style)
            yield quoted
            yield quoted.replace("%20", "+")


def _encoded(raw: bytes) -> Iterator[str]:
    whole = b64encode(raw).decode()
    inside = [_base64_at(raw, offset) for offset in range(3)]
    broken = encodebytes(raw).decode().splitlines() if len(raw) > _BREAKS else []
    for form in (whole, *inside, *broken):
        yield form
        yield form.replace("+", "-").replace("/", "_")
    yield raw.hex()
    yield raw.hex().upper()


def _base64_at(raw: bytes, offset: int) -> str:
    """What of the value's base64 is the same whatever stands before it (so many bytes, modulo three) and behind it."""
    text = b64encode(bytes(offset) + raw).decode()
    return text[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]


def _quoted(raw: bytes, kept: frozenset[int], style: str) -> str:
    return "".join(chr(byte) if byte in kept else style % byte for byte in raw)


def _html(value: str) -> str:
    for plain, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):  # fmt: skip
        value = value.replace(plain, entity)
    return value


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
