"""Ids of events: UUIDv7 in runs of consecutive numbers, because one call of a general source for each event is too dear."""

from __future__ import annotations

from collections.abc import Callable

_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62
_RAND_B_BITS = 62


class EventIds:
    """Draws a random start for each batch; 73 random bits behind the millisecond keep batches apart.

    The top bit of the counting part starts at 0, so that counting never runs into the variant.
    """

    def __init__(self, millisecond: Callable[[], int], entropy: Callable[[int], bytes]) -> None:
        self._millisecond = millisecond
        self._entropy = entropy

    def take(self, count: int) -> list[bytes]:
        """Return `count` new ids, ascending, as 16 bytes each."""
        noise = int.from_bytes(self._entropy(10))
        rand_a = noise & 0xFFF
        rand_b = (noise >> 12) & ((1 << (_RAND_B_BITS - 1)) - 1)
        first = self._millisecond() << 80 | _VERSION_AND_VARIANT | rand_a << 64 | rand_b
        return [n.to_bytes(16) for n in range(first, first + count)]
