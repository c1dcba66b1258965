"""Text on its way out: valid Unicode without NUL, cut to a limit."""

import re

REPLACEMENT = "\ufffd"
_SURROGATES = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"[0-9A-Za-z.+_-]{1,64}")
_CLASS_NAME = re.compile(r"[\w.<>]{1,256}")


def sanitised(text: str) -> str:
    """Without NUL and lone surrogates, which neither protobuf nor PostgreSQL takes."""
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    return text if text.isascii() else _SURROGATES.sub(REPLACEMENT, text)


def cut(text: str, most: int) -> str:
    """At most `most` bytes of UTF-8, never through the middle of a character."""
    if len(text) * 4 <= most:
        return text
    content = text.encode()
    return text if len(content) <= most else content[:most].decode("utf-8", "ignore")


def word(value: object) -> str | None:
    """A version or codec: a short plain word, or nothing at all."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def identifier(value: object) -> str | None:
    """The dotted name of a class. Anything else in its place could be a message, so it stays."""
    return value if isinstance(value, str) and _CLASS_NAME.fullmatch(value) else None
