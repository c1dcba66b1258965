"""Cancelling an attempt. Its supervisor escalates alone, on the clock of its assignment; the agent asks once, and
ends it by force only when the supervisor itself has not done so long after it should have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import assert_never

from headway_agent.core.attempt import Attempt

SLACK = 10.0
"""Seconds beyond both grace periods before the agent steps in."""


@dataclass(frozen=True, slots=True)
class Cancels:
    """`force_at`: when each cancelled attempt is ended by force; infinity once that was done. `early`: asked for
    before the attempt was started here.
    """

    force_at: Mapping[Attempt, float] = field(default_factory=lambda: MappingProxyType({}))
    early: Mapping[Attempt, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Asked:
    """A cancel arrived. `grace` is both grace periods together; `started` says whether the runner has the attempt."""

    attempt: Attempt
    grace: float
    started: bool


@dataclass(frozen=True, slots=True)
class Started:
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Running:
    """The attempts that hold a process."""

    attempts: frozenset[Attempt]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Input = Asked | Started | Running | Tick


@dataclass(frozen=True, slots=True)
class Cooperate:
    """Ask the supervisor."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Kill:
    """End it now."""

    attempt: Attempt


Effect = Cooperate | Kill


def wake_at(state: Cancels) -> float | None:
    return min(state.force_at.values(), default=None)


def step(state: Cancels, now: float, given: Input) -> tuple[Cancels, tuple[Effect, ...]]:
    match given:
        case Asked(attempt, grace, started):
            return _asked(state, now, attempt, grace, started=started)
        case Started(attempt):
            if attempt not in state.early:
                return state, ()
            early = {k: v for k, v in state.early.items() if k != attempt}
            grace = state.early[attempt]
            return _asked(
                replace(state, early=MappingProxyType(early)), now, attempt, grace, started=True
            )
        case Running(attempts):
            if state.force_at.keys() <= attempts:
                return state, ()
            left = {k: v for k, v in state.force_at.items() if k in attempts}
            return replace(state, force_at=MappingProxyType(left)), ()
        case Tick():
            due = tuple(k for k, at in state.force_at.items() if now >= at)
            if not due:
                return state, ()
            later = {**state.force_at, **dict.fromkeys(due, float("inf"))}
            return replace(state, force_at=MappingProxyType(later)), tuple(Kill(k) for k in due)
        case _:
            assert_never(given)


def _asked(
    state: Cancels, now: float, attempt: Attempt, grace: float, *, started: bool
) -> tuple[Cancels, tuple[Effect, ...]]:
    if attempt in state.force_at:
        return state, ()
    if not started:
        return replace(state, early=MappingProxyType({**state.early, attempt: grace})), ()
    force_at = MappingProxyType({**state.force_at, attempt: now + grace + SLACK})
    return replace(state, force_at=force_at), (Cooperate(attempt),)
