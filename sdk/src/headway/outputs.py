"""What artifacts, metrics and events have in common: limits, and what of the user's words may stand in a frame."""

from __future__ import annotations

import re

MOST_CONTENT = 256 * 1024
"""Bytes of an artifact."""
MOST_VALUE = 64 * 1024
"""Bytes of an event's value, as JSON."""
_KEY = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?")


def key_problem(key: object) -> str:
    """What a key should be and is not; empty for a good one."""
    if isinstance(key, str) and (not key or _KEY.fullmatch(key)):
        return ""
    return "has lower-case letters, digits and `-` inside, at most 100"


def clean_text(text: str) -> str:
    """The text as frames may carry it: NUL and lone surrogates replaced."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Pairs of surrogates become the character they mean, lone ones the replacement character.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
