"""Encodings of a secret's bytes that stand in text: base64, base32, base85, hex and other lists of bytes, and base64 of these.

What stands before a value in what was encoded shifts its digits, so each encoding has a form for each shift: that part of
the digits which depends on the value alone.
"""

from __future__ import annotations

from base64 import a85encode, b32encode, b64encode, b85encode, encodebytes
from collections.abc import Callable, Iterator

MOST = 4096
"""Bytes of a value that is looked for in encodings of encodings, and in rare ones: there are many, and each is long."""
_BREAKS = 57
"""Bytes that make one line of base64 in mail and `base64.encodebytes`."""
_GROUP = 4
"""Bytes that base85 makes five digits of."""


def encoded(raw: bytes) -> Iterator[str]:
    yield from _base64(raw)
    yield from _cases(raw.hex())
    if len(raw) > _BREAKS:
        for line in encodebytes(raw).decode().splitlines():
            yield from _alphabets(line)
    if len(raw) > MOST:
        return
    yield from _base32(raw)
    for encode in (b85encode, a85encode):
        yield from _base85(raw, encode)
    yield from _listed(raw)
    for form in {*_base64(raw), b64encode(raw).decode()}:
        yield from _base64(form.encode())


def _base64(raw: bytes) -> Iterator[str]:
    yield from _alphabets(b64encode(raw).decode())
    for before in range(3):
        yield from _alphabets(_digits_of(raw, b64encode, before, bits=6))


def _alphabets(form: str) -> Iterator[str]:
    yield form
    yield form.replace("+", "-").replace("/", "_")


def _base32(raw: bytes) -> Iterator[str]:
    yield from _cases(b32encode(raw).decode().rstrip("="))
    for before in range(5):
        yield from _cases(_digits_of(raw, b32encode, before, bits=5))


def _digits_of(raw: bytes, encode: Callable[[bytes], bytes], before: int, *, bits: int) -> str:
    """Of so many bytes that stand before a value the first digits are, of what stands behind it the last ones."""
    text = encode(bytes(before) + raw).decode()
    return text[-(-before * 8 // bits) : (before + len(raw)) * 8 // bits]


def _base85(raw: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    """Five digits depend on all of their four bytes."""
    yield encode(raw).decode()
    for first in range(_GROUP):
        groups = (len(raw) - first) // _GROUP
        if groups > 0:
            yield encode(raw[first : first + groups * _GROUP]).decode()


def _listed(raw: bytes) -> Iterator[str]:
    """Byte by byte."""
    for between in (" ", ":", "-"):
        yield from _cases(raw.hex(between))
    for style, between in (("\\x%02x", ""), ("0x%02x", ", "), ("%d", ", "), ("%d", ",")):
        yield between.join(style % byte for byte in raw)
    for style in ("%%%02X", "%%%02x"):
        yield "".join(style % byte for byte in raw)


def _cases(form: str) -> Iterator[str]:
    yield form.lower()
    yield form.upper()
