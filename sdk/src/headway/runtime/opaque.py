"""Results without a stable digest that come back as arguments: they stand by the call that made them, while unchanged."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

from headway import payloads
from headway.errors import UnserializableResult


class _Made(NamedTuple):
    value: weakref.ref[Any]
    key: str
    digest: str


class OpaqueResults:
    """Remembers pickled results by identity.

    User code may have changed the object since, so it counts as the call's result only if it still pickles to the same
    bytes: at worst a call is executed again, never skipped wrongly.
    """

    def __init__(self) -> None:
        self._made: dict[int, _Made] = {}

    def remember(self, value: Any, key: str) -> None:
        """To be called as soon as the value exists, before user code has it."""
        digest = _digest(value)
        if digest is None:
            return
        identity = id(value)
        try:
            # The entry goes with the object, before another one can get its identity.
            kept = weakref.ref(value, lambda _: self._made.pop(identity, None))
        except TypeError:
            return  # a list or tuple: nothing tells when it is gone
        self._made[identity] = _Made(kept, key, digest)

    def key_of(self, value: Any) -> str | None:
        """Key of the call whose unchanged result this very object is."""
        made = self._made.get(id(value))
        if made is None or made.value() is not value or _digest(value) != made.digest:
            return None
        return made.key


def _digest(value: Any) -> str | None:
    try:
        return payloads.encode(value, pickled=True).digest
    except UnserializableResult:
        return None
