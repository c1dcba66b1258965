"""How long to wait before the next dial: full jitter, so that a fleet that lost us returns spread out."""

from dataclasses import dataclass, replace

LONGEST = 300.0
"""Nobody may keep an agent away for longer, not even the control plane."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`first` and `cap` bound the random wait; a stream that lived for `healthy_after` clears the memory."""

    first: float = 1.0
    cap: float = 15.0
    healthy_after: float = 60.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures in a row, and when the present stream opened."""

    failures: int = 0
    opened_at: float | None = None


def opened(state: Backoff, now: float) -> Backoff:
    return replace(state, opened_at=now)


def failed(state: Backoff, now: float, policy: Policy) -> Backoff:
    """A dial failed or a stream ended. Only a stream that lived long enough forgets earlier failures: one that
    opens and dies at once is no recovery.
    """
    healthy = state.opened_at is not None and now - state.opened_at >= policy.healthy_after
    return Backoff(failures=1 if healthy else state.failures + 1)


def delay(
    state: Backoff, policy: Policy, fraction: float, retry_after: float | None = None
) -> float:
    """Seconds to wait. `fraction` is random in [0, 1). What the control plane asked for beats our own reckoning,
    for it knows how many others are coming.
    """
    if retry_after is not None:
        return min(max(retry_after, 0.0), LONGEST)
    exponent = min(max(state.failures - 1, 0), 32)
    return fraction * min(policy.cap, policy.first * 2.0**exponent)
