"""Items of workspaces whose head somebody else holds: tried again soon, in their order, while the line goes on without them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from headway_control_plane.application.ports import Unavailable
from headway_control_plane.log.items import Item

_log = logging.getLogger(__name__)
FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.2
TELL_AFTER = 1.0
EVENTS_MAX = 1_000  # of one workspace; more of it is turned away at once
_HELD = "Somebody else holds the lock of this workspace's log."


@dataclass(slots=True)
class _Waiting:
    """One workspace. `items` are out of here while they are being tried."""

    since: float
    again_at: float
    pause: float = FIRST_PAUSE
    items: list[Item] = field(default_factory=list)
    events: int = 0
    told: bool = False


class Siding:
    """Where a lane puts items aside. Times are those of the event loop."""

    def __init__(self, *, patience: timedelta, retry_after: timedelta) -> None:
        self._patience = patience.total_seconds()
        self._retry_after = retry_after
        self._waiting: dict[int, _Waiting] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def pause(self, now: float) -> float:
        """Return how long nothing here needs to be tried."""
        nearest = min((each.again_at for each in self._waiting.values()), default=now)
        return max(0.0, nearest - now)

    def merge(self, fresh: Iterable[Item], now: float) -> list[Item]:
        """Return what is to be tried now: what waited long enough, then what is new. New items of waiting workspaces queue here."""
        due: list[Item] = []
        through: list[Item] = []
        for item in fresh:
            waiting = self._waiting.get(item.ws)
            if waiting is None:
                through.append(item)
            else:
                self._queue(waiting, item)
        for waiting in self._waiting.values():
            if waiting.again_at <= now:
                due += (item for item in waiting.items if not item.future.done())
                waiting.items, waiting.events = [], 0
        return due + through

    def put(self, items: Sequence[Item], now: float) -> None:
        """Take back what could not be tried because its head is held."""
        for ws in {item.ws for item in items}:
            waiting = self._waiting.setdefault(ws, _Waiting(since=now, again_at=now))
            mine = [item for item in items if item.ws == ws]
            waiting.items[:0] = mine
            waiting.events += sum(item.events for item in mine)
            waiting.again_at = now + waiting.pause
            waiting.pause = min(2 * waiting.pause, LONGEST_PAUSE)
            self._judge(ws, waiting, now)

    def settle(self) -> None:
        """Forget workspaces of which nothing waits any more: what was tried last went through, or nobody wants it any more."""
        self._waiting = {ws: each for ws, each in self._waiting.items() if each.items}

    def turn_away(self, why: str) -> None:
        """Answer everything that waits with Unavailable."""
        for waiting in self._waiting.values():
            self._refuse(waiting, why)
        self._waiting.clear()

    def _queue(self, waiting: _Waiting, item: Item) -> None:
        if waiting.events >= EVENTS_MAX:
            item.settle(Unavailable(_HELD, self._retry_after))
            return
        waiting.items.append(item)
        waiting.events += item.events

    def _judge(self, ws: int, waiting: _Waiting, now: float) -> None:
        held = now - waiting.since
        if held >= TELL_AFTER and not waiting.told:
            waiting.told = True
            _log.warning(
                "writes to workspace %d wait: another connection holds its row in workspace_head. To see whose: SELECT pid, "
                "application_name, xact_start, query FROM pg_stat_activity JOIN pg_locks USING (pid) "
                "WHERE relation = 'headway.workspace_head'::regclass; to end it: SELECT pg_terminate_backend(pid)",
                ws,
            )
        if held >= self._patience:
            self._refuse(waiting, _HELD)
            waiting.since = now

    def _refuse(self, waiting: _Waiting, why: str) -> None:
        for item in waiting.items:
            item.settle(Unavailable(why, self._retry_after))
        waiting.items, waiting.events = [], 0
