"""A flush writes a stream's timer when its deadline has changed, and only then."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from headway_control_plane.domain.policy import DEFAULT_POLICY
from headway_control_plane.domain.session.events import (
    SessionEvent,
    SessionLost,
    SessionOpened,
    SessionResumed,
)
from headway_control_plane.domain.session.state import SessionState
from headway_control_plane.domain.states import States
from headway_control_plane.domain.streams import Decided, Stream, StreamKind
from headway_control_plane.log.rows import Moved

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
WS, SHARD = 7, 3
SESSION, AGENT, POOL, REPLICA = (UUID(int=n) for n in range(1, 5))
STREAM = Stream(StreamKind.SESSION, SESSION)
OPENED = SessionOpened(AGENT, POOL, "host", "1.0", 4, REPLICA)
RESUMED = SessionResumed(REPLICA, 4)


def flush(loaded: SessionState | None, *events: SessionEvent) -> tuple[Moved, SessionState]:
    """What is written after these events, and the session's state then."""
    states = States()
    if loaded is not None:
        states.put(STREAM, loaded)
    for event in events:
        states.evolve(Decided(STREAM, event), AT, DEFAULT_POLICY)
    moved = Moved()
    moved.collect(WS, SHARD, states)
    state = states.session(SESSION)
    assert state is not None and len(moved.sessions) == 1
    return moved, state


def test_a_stream_that_never_had_a_deadline_has_no_timer_to_clear() -> None:
    moved, _ = flush(None, OPENED)
    assert (moved.timers, moved.timers_cleared) == ([], [])


def test_a_deadline_is_written_when_it_comes_and_cleared_when_it_goes() -> None:
    _, opened = flush(None, OPENED)
    moved, lost = flush(opened, SessionLost())
    assert lost.deadline is not None and lost.deadline.at == AT + DEFAULT_POLICY.reassign_after
    assert (len(moved.timers), moved.timers_cleared) == (1, [])
    moved, _ = flush(lost, RESUMED)
    assert moved.timers == [] and len(moved.timers_cleared) == 1


def test_a_deadline_that_comes_and_goes_in_one_flush_is_never_written() -> None:
    _, opened = flush(None, OPENED)
    moved, _ = flush(opened, SessionLost(), RESUMED)
    assert (moved.timers, moved.timers_cleared) == ([], [])


def test_a_deadline_that_stays_is_not_written_again() -> None:
    _, opened = flush(None, OPENED)
    _, lost = flush(opened, SessionLost())
    moved, again = flush(lost, RESUMED, SessionLost())
    assert again.deadline == lost.deadline
    assert (moved.timers, moved.timers_cleared) == ([], [])


def test_one_that_moved_is_written_anew() -> None:
    _, opened = flush(None, OPENED)
    _, lost = flush(opened, SessionLost())
    states = States()
    states.put(STREAM, lost)
    states.evolve(Decided(STREAM, SessionLost()), AT + timedelta(seconds=1), DEFAULT_POLICY)
    moved = Moved()
    moved.collect(WS, SHARD, states)
    assert len(moved.timers) == 1
