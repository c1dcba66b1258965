"""Bugs planted into the running code, each of which the simulation must find: the measure of its worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from headway.runtime.asked_runs import AskedRuns
from headway.runtime.child_results import is_child_id
from headway_agent.core import lease, lines
from headway_control_plane.background import sweeper
from headway_control_plane.domain import states
from headway_control_plane.domain.attempt.admission import Admission, Verdict, admit
from headway_control_plane.domain.commands import LoseAttempt
from headway_control_plane.domain.errors import InvalidState
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.run import children, decide, waits
from headway_control_plane.domain.run.events import RunAnswered, RunSuspended
from headway_control_plane.domain.session import evolve
from headway_control_plane.domain.streams import Decided, Stream, StreamKind
from headway_control_plane.grpc_api import handshake, opening
from headway_control_plane.grpc_api.ledger import Ledger
from headway_control_plane.grpc_api.opening import AGENT_FORGOT
from headway_control_plane.grpc_api.store import SessionStore
from headway_control_plane.log import draft
from headway_control_plane.log.lane import Lane
from headway_control_plane.projections import packed_calls


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
_ANSWER = waits.answer_run


def _deaf_to_stored_lines(state: Any, given: Any) -> Any:
    after, effects = _LINES(state, given)
    return after, (() if isinstance(given, lines.Welcomed) and given.permitted else effects)


def _settle_forgetful(opening: Any, sessions: Any, attempts: Any) -> Any:
    """What this Hello does not name is lost, although the very session has reported on it since."""
    begun = [row for row in attempts if row.is_open and row.last_seq > 0]
    held = {item.attempt for item in opening.hello.held}
    gone = [LoseAttempt(row.run, row.fence, AGENT_FORGOT) for row in begun if row.key not in held]
    return [*_SETTLE(opening, sessions, attempts), *([gone] if gone else [])]


def _answer_again(command: Any, states: Any, context: Any) -> Any:
    """Whoever answers is believed, whatever was said before."""
    try:
        return _ANSWER(command, states, context)
    except InvalidState as refused:
        if "before" not in str(refused):
            raise
    event = RunAnswered(command.call, command.value, context.now)
    return [Decided(Stream(StreamKind.RUN, command.run), event)]


def _pause_as_suspension(command: Any, states: Any) -> Any:
    """Who asks a person loses the slot, though its process lives."""
    run, attempt = states.run(command.run), states.attempt(command.run, command.fence)
    if run.fence != command.fence or not attempt.is_open:
        return []
    event = RunSuspended(run.fence, "input", attempt.agent, (command.wait,))
    return [Decided(Stream(StreamKind.RUN, run.run), event)]


def _believes_its_journal(asked: AskedRuns, call: str, run: str) -> bool:
    """Though what a lost attempt asked for may have come too late."""
    return asked._journal.asked(call) == run and is_child_id(run, asked._run, call)


async def _nothing_asked(*_: Any) -> dict[Any, Any]:
    return {}


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
    "a child that ends tells nobody": lambda: _put(children, "answers_to_parents", lambda *_: []),
    "who begins to wait does not ask who has ended": lambda: _put(
        children, "answers_of_ended", lambda *_: []
    ),
    "a second answer counts": lambda: _put(waits, "answer_run", _answer_again),
    "a pause gives its slot back": lambda: _put(waits, "attempt_asked", _pause_as_suspension),
    "the sums take a range for one call": lambda: _put(packed_calls, "size", lambda _: 1),
    "a pause never hears its answer": lambda: _put(Ledger, "answer", lambda *_: []),
    "who moved is not told what it asked for": lambda: _put(
        SessionStore, "_asked_runs", _nothing_asked
    ),
    "a journal is believed after a lost attempt": lambda: _put(
        AskedRuns, "is_told", _believes_its_journal
    ),
    "a slot is handed on that nobody left": lambda: _put(decide, "_holds", lambda *_: False),
    "what Welcome says of lines is not written down": lambda: _put(
        lines, "step", _deaf_to_stored_lines
    ),
}
