"""How long the control plane waits before it acts. Tests scale these down; nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

GATHER_MAX = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Policy:
    """Defaults are DESIGN's: a lease of 30 s, renewed each 10 s, and 90 s before a lost agent's runs are given away."""

    lease_ttl: timedelta = timedelta(seconds=30)
    renew_interval: timedelta = timedelta(seconds=10)
    reconnect_grace: timedelta = timedelta(seconds=15)  # an agent's longest pause between two dials
    reassign_after: timedelta = timedelta(seconds=90)
    start_timeout: timedelta = timedelta(minutes=5)
    hold_timeout: timedelta = timedelta(days=7)
    home_timeout: timedelta = timedelta(
        minutes=15
    )  # a run waits so long for the agent with its journal
    deaths_max: int = 5  # process deaths of one run before it counts as crashed for good

    def gather(self, still_out: int) -> timedelta:
        """How long a run that waits for several others waits on after an answer, so that not each of five hundred wakes it."""
        return min(timedelta(seconds=1) + still_out * timedelta(milliseconds=100), GATHER_MAX)

    @property
    def hearing(self) -> timedelta:
        """How long whoever is back, or should be, gets to say what it holds and has begun."""
        return self.lease_ttl + self.reconnect_grace


DEFAULT_POLICY = Policy()
