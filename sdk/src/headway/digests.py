"""Journal keys: what makes a call of this attempt the same call as one of an earlier attempt."""

import hashlib
from typing import Any

from headway.errors import UnserializableResult
from headway.tagging import KeyOf, canonical

ROOT = "root"


def stable_digest(arguments: dict[str, Any], key_of: KeyOf = lambda _: None) -> str | None:
    """SHA-256 of the bound arguments, hex; None when one has no text that is the same in another process.

    `key_of` names the call whose result an object without such a text is, or gives None.
    """
    try:
        return hashlib.sha256(canonical(arguments, key_of)).hexdigest()
    except UnserializableResult:
        return None


def explicit_digest(key: str) -> str:
    """The digest that an explicit key stands for. The prefix keeps it apart from every canonical text."""
    return hashlib.sha256(b"key:" + key.encode("utf-8", "backslashreplace")).hexdigest()


def call_key(parent: str, name: str, digest: str, ordinal: int) -> str:
    """32 hex digits; equal for the equal call in another attempt."""
    return hashlib.sha256(f"{parent}\0{name}\0{digest}\0{ordinal}".encode()).hexdigest()[:32]
