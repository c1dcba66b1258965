"""Brings payloads of old schema versions to the newest one, step by step, when they are read.

An upcaster is a pure function of bytes, registered for one type and the version that it starts from. Nothing stored
ever changes. The golden corpus under tests/contract/log holds every type in every version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headway_control_plane.log.codec import SCHEMA_VERSION, decode

Upcaster = Callable[[bytes], bytes]


class Upcasters:
    """Steps from version v of a type to v + 1."""

    def __init__(self, steps: Mapping[tuple[str, int], Upcaster]) -> None:
        self._steps = dict(steps)

    def newest(self, type_: str) -> int:
        """Return the version that a chain of steps ends at."""
        version = SCHEMA_VERSION
        while (type_, version) in self._steps:
            version += 1
        return version

    def upcast(self, type_: str, version: int, payload: bytes) -> bytes:
        """Return the payload in the newest version."""
        while (step := self._steps.get((type_, version))) is not None:
            payload = step(payload)
            version += 1
        return payload


# Empty: every type is at its first version.
UPCASTERS = Upcasters({})


def decode_any(type_: str, version: int, payload: bytes, upcasters: Upcasters = UPCASTERS) -> Any:
    """Decode an event of any known version; None when this code does not know the type or the version.

    Raises:
        Undecodable: The bytes are no such event.
    """
    if not 1 <= version <= upcasters.newest(type_):
        return None
    return decode(type_, upcasters.upcast(type_, version, payload))
