"""How many handshakes a process takes on: after an outage everybody comes at once."""

from __future__ import annotations


class TokenBucket:
    """`rate` tokens a second, `burst` at most. A taker is told how long to wait for its token; none is refused one here."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = float("-inf")

    def wait_for(self, now: float) -> float:
        """How long a taker would have to wait."""
        return max(0.0, (1 - self._level(now)) / self._rate)

    def take(self, now: float) -> float:
        """Take a token, on credit if there is none; return the seconds until it is really there."""
        wait = self.wait_for(now)
        self._tokens = self._level(now) - 1
        self._at = now
        return wait

    def _level(self, now: float) -> float:
        passed = max(0.0, now - self._at)
        return min(self._burst, self._tokens + passed * self._rate)
