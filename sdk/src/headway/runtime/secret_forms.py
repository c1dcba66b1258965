"""The forms in which a secret's value may turn up in text: as it is, escaped, percent-encoded, in base64 or hex.

Each more of them costs little where text is looked through (see Redactor), so all that people and tools are known to write are here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from headway.runtime.secret_encodings import MOST, encoded

LEAST = 5
"""Characters of a form. A shorter one would be found in what has nothing to do with the secret."""
LEAST_LINE = 8
"""Characters of a line of a longer value, such as a key's, that is looked for by itself."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE = (b"", b"/", b" +", b"!*'()", b"!$&'()*+,;=", b"!#$%&'()*+,/:;=?@[]~")
"""What is left as it is in URLs: by Python, in paths, in connection strings, by browsers, in the user's part, by clients that quote again."""
_LOST = "\N{REPLACEMENT CHARACTER}"


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
    found.update(encoded(as_bytes(value)))
    # Once more, for text that stands in a string of JSON or Python: frames do, and so do lines of structured logs.
    found |= {around for form in found for around in _in_strings(form)}
    return {form for form in found if len(form) >= LEAST and form.strip(_LOST)}


def _long_lines(value: str) -> Iterator[str]:
    lines = value.splitlines()
    for line in map(str.strip, lines if len(lines) > 1 else ()):
        if len(line) >= LEAST_LINE and not line.startswith(
            "-----"
        ):  # of keys: says only what it is
            yield line


def _escaped(value: str) -> Iterator[str]:
    yield value
    yield from _in_strings(value)
    raw = as_bytes(value)
    yield repr(raw)[2:-1]
    yield raw.decode(errors="replace").replace("\0", _LOST)  # as lines are read
    for quotes in ("''", "'\"'\"'"):  # of SQL and YAML, and of shells
        yield value.replace("'", quotes)
    yield from _html(value)
    for safe in _SAFE:
        for style in ("%%%02X", "%%%02x"):
            quoted = _quoted(raw, _UNRESERVED | set(safe), style)
            for once in (quoted, quoted.replace("%20", "+")):
                yield once
                if len(raw) <= MOST:
                    # Again, as a URL in a parameter of another one.
                    yield once.replace("%", "%25")
                    yield _quoted(once.encode(), _UNRESERVED, style)


def _quoted(raw: bytes, kept: frozenset[int], style: str) -> str:
    return "".join(chr(byte) if byte in kept else style % byte for byte in raw)


def _html(value: str) -> Iterator[str]:
    plain = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield plain
    yield plain.replace('"', "&quot;").replace("'", "&#x27;")
    yield plain.replace('"', "&#34;").replace("'", "&#39;")


def _in_strings(text: str) -> Iterator[str]:
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    # Beside quotes of both kinds, its own are escaped.
    yield repr(text + "'\"")[1:-4]
    yield ascii(text + "'\"")[1:-4]
