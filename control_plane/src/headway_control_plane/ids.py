"""Identifiers: UUIDv7, made in Python because only PostgreSQL 18 can make them itself."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

_TAIL_BITS = 74
_STEP_BYTES = 4
_RAND_B_MASK = (1 << 62) - 1


class IdSource(Protocol):
    """Makes identifiers that nobody else makes."""

    def __call__(self) -> UUID: ...


class WallClock(Protocol):
    """As much of a clock as an id needs."""

    def now(self) -> datetime: ...


class Uuid7Source:
    """UUIDv7 (RFC 9562) that only ever grow within this process, even when the clock goes back.

    The 74 bits behind the millisecond start at random in the lower half of their range and move up by a random step
    for each further id of the same millisecond, so that ids stay both ordered and hard to guess.
    """

    def __init__(self, clock: WallClock, entropy: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._millisecond = 0
        self._tail = 0

    def __call__(self) -> UUID:
        now = int(self._clock.now().timestamp() * 1000)
        with self._lock:
            if now > self._millisecond:
                self._restart_at(now)
            else:
                self._step()
            return _assemble(self._millisecond, self._tail)

    def _restart_at(self, millisecond: int) -> None:
        self._millisecond = millisecond
        self._tail = int.from_bytes(self._entropy(10)) >> (80 - _TAIL_BITS + 1)

    def _step(self) -> None:
        self._tail += 1 + int.from_bytes(self._entropy(_STEP_BYTES))
        if self._tail >> _TAIL_BITS:
            self._restart_at(self._millisecond + 1)


def _assemble(millisecond: int, tail: int) -> UUID:
    rand_a, rand_b = tail >> 62, tail & _RAND_B_MASK
    return UUID(int=millisecond << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)
