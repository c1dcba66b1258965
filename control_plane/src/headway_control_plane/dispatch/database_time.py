"""The database's time, estimated in this process: due times and leases are judged by that clock, and reading it costs a round trip."""

from __future__ import annotations

from datetime import datetime, timedelta

from headway_control_plane.clock import Clock


class DatabaseTime:
    """The machine's clock, moved by what the database was last seen to be ahead.

    An observation is always a little old, so the estimate is behind rather than ahead, and a grant is never asked for too early.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = timedelta(0)

    def observe(self, instant: datetime) -> None:
        self._ahead = instant - self._clock.now()

    def now(self) -> datetime:
        return self._clock.now() + self._ahead
