"""How many handshakes a process takes on: after an outage everybody comes at once."""

from __future__ import annotations

_OF_LATE = 8  # handshakes that a mean is about


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


class Gate:
    """So many handshakes at once: what a machine manages, whatever the rate allows. Who finds no place is told a turn of its own, at
    the pace at which places became free of late, so that a crowd does not come back together, nor asks more often than it helps.
    """

    def __init__(self, places: int, *, shortest: float, longest: float) -> None:
        self._places = places
        self._shortest, self._longest = shortest, longest
        self._taken = 0
        self._held = 0.0  # seconds that a place is taken for, of late
        self._newest_turn = float("-inf")

    @property
    def is_full(self) -> bool:
        return self._taken >= self._places

    def enter(self) -> None:
        self._taken += 1

    def leave(self, held: float) -> None:
        """Give a place back that was held for so many seconds."""
        self._taken -= 1
        self._held += (held - self._held) / _OF_LATE

    def turn(self, now: float) -> float:
        """Return the seconds until the next turn, behind those that others were told."""
        turn = max(self._newest_turn, now + self._shortest) + self._held / self._places
        self._newest_turn = min(turn, now + self._longest)
        return self._newest_turn - now
