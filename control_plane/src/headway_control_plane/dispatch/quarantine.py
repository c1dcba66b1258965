"""Sets aside what fails in a way that nobody foresaw, so that the rest goes on: a row that can't be read, a decision that breaks.

What is set aside is tried again after a pause that doubles with each failure. It is kept in memory alone: who mends a row need not restart
anything, and who restarts has everything tried at once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from opentelemetry import metrics

from headway_control_plane.clock import Clock
from headway_control_plane.db.outages import OUTAGES

_log = logging.getLogger(__name__)
_meter = metrics.get_meter("headway.quarantine")
_aside = _meter.create_up_down_counter(
    "headway.quarantine.items",
    unit="{item}",
    description="What is set aside because it failed in an unforeseen way, by kind",
)
_failures = _meter.create_counter(
    "headway.quarantine.failures",
    unit="{failure}",
    description="Unforeseen failures of single items, by kind",
)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


@dataclass(slots=True)
class _Aside:
    failures: int
    until: float
    tried: bool = False


class Quarantine(Generic[K]):
    """Items of one kind (`what` names it in the log). Safe to ask about keys that were never set aside."""

    def __init__(self, what: str, clock: Clock) -> None:
        self._what = what
        self._clock = clock
        self._items: dict[K, _Aside] = {}

    def __len__(self) -> int:
        return len(self._items)

    def set_aside(self, key: K, error: BaseException) -> None:
        """It failed; it rests, the longer the more often it has failed in a row."""
        before = self._items.get(key)
        failures = 1 if before is None else before.failures + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 30))
        self._items[key] = _Aside(failures, self._clock.monotonic() + pause)
        _failures.add(1, {"kind": self._what})
        if before is None:
            _aside.add(1, {"kind": self._what})
        _log.error(
            "%s %s is set aside for %.0f s, everything else goes on; it is tried again until it works: %r",
            self._what,
            key,
            pause,
            error,
            exc_info=error if before is None else None,
        )

    def works(self, key: K) -> None:
        """It did not fail this time: nothing is held against it."""
        if self._items.pop(key, None) is not None:
            _aside.add(-1, {"kind": self._what})
            _log.info("%s %s works again", self._what, key)

    def rests(self, key: K) -> bool:
        """Whether it is to be left alone for now."""
        item = self._items.get(key)
        return item is not None and not item.tried and item.until > self._clock.monotonic()

    def resting(self) -> list[K]:
        return [key for key in self._items if self.rests(key)]

    def due(self) -> list[K]:
        """What is to be tried again now; each failure makes it due once."""
        now = self._clock.monotonic()
        due = [key for key, item in self._items.items() if not item.tried and item.until <= now]
        for key in due:
            self._items[key].tried = True
        return due

    def next_try(self) -> float | None:
        """When something is due, on the monotonic clock."""
        return min((item.until for item in self._items.values() if not item.tried), default=None)

    def prune(self) -> None:
        """Let go of what was not heard of for a long time after its pause: it is no more."""
        limit = self._clock.monotonic() - LONGEST_PAUSE
        for key in [key for key, item in self._items.items() if item.until < limit]:
            self.works(key)


async def piecewise(
    keys: Collection[K],
    act: Callable[[list[K]], Awaitable[R]],
    set_aside: Callable[[K, Exception], None],
) -> list[R]:
    """Do it for all at once; where that fails, in halves, until what fails stands alone. Outages are everybody's."""
    parts, results = [list(keys)], []
    while parts:
        part = parts.pop()
        if not part:
            continue
        try:
            results.append(await act(part))
        except OUTAGES:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others
            if len(part) == 1:
                set_aside(part[0], error)
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
    return results
