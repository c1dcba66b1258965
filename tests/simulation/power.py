"""Bugs planted into the running code, each of which the simulation must find: the measure of its worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from headway_agent.core import lease, lines
from headway_control_plane.background import sweeper
from headway_control_plane.domain import states
from headway_control_plane.domain.attempt.admission import Admission, Verdict, admit
from headway_control_plane.domain.commands import LoseAttempt
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.run import decide
from headway_control_plane.domain.session import evolve
from headway_control_plane.grpc_api import handshake, opening
from headway_control_plane.grpc_api.opening import AGENT_FORGOT
from headway_control_plane.log import draft
from headway_control_plane.log.lane import Lane


@contextmanager
def _put(owner: Any, name: str, planted: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, planted)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _admit_without_fence(attempt: Any, run_fence: int, first_seq: int, count: int) -> Admission:
    admission = admit(attempt, run_fence, first_seq, count)
    if admission.verdict is not Verdict.FENCED:
        return admission
    is_open = replace(attempt, status="granted")
    return admit(is_open, attempt.fence, first_seq, count)


def _grant_by_anybody(command: Any, states: Any, context: Any) -> Any:
    return _GRANT(replace(command, shard_epoch=states.shard_epoch), states, context)


def _reassign_at_once(state: Any, session: Any, event: Any, at: Any, policy: Policy) -> Any:
    return _EVOLVE(state, session, event, at, replace(policy, reassign_after=timedelta(0)))


async def _forget_unknown(self: Lane, unknown: Any) -> bool:
    """A COMMIT of unknown outcome counts as done."""
    await self._let_go()
    return True


_GRANT = decide.grant_run
_EVOLVE = evolve.evolve_session
_LINES = lines.step
_SETTLE = opening.settle


def _deaf_to_stored_lines(state: Any, given: Any) -> Any:
    after, effects = _LINES(state, given)
    return after, (() if isinstance(given, lines.Welcomed) and given.permitted else effects)


def _settle_forgetful(opening: Any, sessions: Any, attempts: Any) -> Any:
    """What this Hello does not name is lost, although the very session has reported on it since."""
    begun = [row for row in attempts if row.is_open and row.last_seq > 0]
    held = {item.attempt for item in opening.hello.held}
    gone = [LoseAttempt(row.run, row.fence, AGENT_FORGOT) for row in begun if row.key not in held]
    return [*_SETTLE(opening, sessions, attempts), *([gone] if gone else [])]


BUGS: dict[str, Callable[[], Any]] = {
    "no margin on the agent's lease": lambda: _put(lease, "margin", lambda ttl: 0.0),
    "no fence check in admission": lambda: _put(draft, "admit", _admit_without_fence),
    "reassigned as soon as a session is lost": lambda: _put(
        states, "evolve_session", _reassign_at_once
    ),
    "no brake": lambda: _put(sweeper, "held_until", lambda *_: None),
    "granted without the shard's epoch": lambda: _put(decide, "grant_run", _grant_by_anybody),
    "acknowledged before the commit is known": lambda: _put(Lane, "_happened", _forget_unknown),
    "a late Hello loses what its session began since": lambda: _put(
        handshake, "settle", _settle_forgetful
    ),
    "what Welcome says of lines is not written down": lambda: _put(
        lines, "step", _deaf_to_stored_lines
    ),
}
