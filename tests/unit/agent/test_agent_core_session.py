from dataclasses import replace

import pytest

from headway_agent.core import backoff, lease, session
from headway_agent.core.backoff import Backoff, Policy, delay, failed, opened
from headway_agent.core.session import (
    Assigned,
    Close,
    Dial,
    DrainAsked,
    End,
    Holding,
    Ignore,
    Lost,
    MoveAsked,
    Phase,
    Renewed,
    Rules,
    SendGoodbye,
    SendRenew,
    SendSlots,
    Session,
    Start,
    StopAsked,
    Tick,
    Welcomed,
    step,
)

A, B, C = ("a", 1), ("b", 1), ("c", 1)
NONE: frozenset[tuple[str, int]] = frozenset()


def dialled(slots: int = 2) -> Session:
    state, effects = step(Session(Rules(slots)), 0.0, Tick())
    assert effects == (Dial(),)
    return state


def connected(slots: int = 2, ttl: float = 30.0, interval: float = 10.0) -> Session:
    state, effects = step(dialled(slots), 0.1, Welcomed(0.0, ttl, interval))
    assert effects == ()
    assert state.phase is Phase.OPEN
    return state


def test_the_lease_counts_from_when_it_was_asked_for_less_a_margin() -> None:
    state = connected()
    assert state.lease.trusted_until == 0.0 + 30 - 3
    state, effects = step(state, 10.0, Tick())
    assert effects == (SendRenew(1),)
    state, _ = step(state, 14.0, Renewed(1, 30, 10))
    assert state.lease.trusted_until == 10.0 + 30 - 3


@pytest.mark.parametrize(("ttl", "margin"), [(30, 3), (300, 30), (10, 2), (1, 0.5)])
def test_margin(ttl: float, margin: float) -> None:
    assert lease.margin(ttl) == margin


def test_an_answer_that_was_never_asked_for_proves_nothing() -> None:
    state = connected()
    assert step(state, 1.0, Renewed(9, 30, 10))[0].lease == state.lease


def test_a_late_answer_counts_from_its_own_question() -> None:
    state, _ = step(connected(), 10.0, Tick())
    state, _ = step(state, 19.0, Renewed(1, 30, 10))
    assert state.lease.trusted_until == 37.0
    assert session.wake_at(state) == 20.0


def test_a_silent_control_plane_is_left_before_the_lease_ends() -> None:
    state, _ = step(connected(), 10.0, Tick())
    assert session.wake_at(state) == 20.0
    state, effects = step(state, 20.0, Tick())
    assert [type(e) for e in effects] == [Close]
    assert lease.trusted(state.lease, 20.0)


def test_the_lease_outlives_its_stream() -> None:
    state, effects = step(connected(), 5.0, Lost(0.5))
    assert effects == ()
    assert state.phase is Phase.WAITING
    assert lease.trusted(state.lease, 26.9)
    assert not lease.trusted(state.lease, 27.0)


def test_a_session_that_is_over_takes_its_lease_along() -> None:
    state, _ = step(connected(), 5.0, Lost(0.5, over=True))
    assert not lease.trusted(state.lease, 5.0)


def test_grants_are_taken_up_to_the_slots_and_the_rest_waits() -> None:
    state, effects = step(connected(slots=1), 1.0, Assigned(A))
    assert effects == (Start(A),)
    state, effects = step(state, 1.0, Assigned(B))
    assert effects == ()
    state, effects = step(state, 2.0, Holding(frozenset({A}), NONE))
    assert effects == (Start(B),)
    assert state.deferred == ()


def test_nothing_new_starts_on_a_lease_that_is_not_trusted() -> None:
    state = connected()
    asked, _ = step(state, 10.0, Tick())
    late, effects = step(asked, 27.5, Assigned(A))
    assert effects == ()
    _, effects = step(late, 28.0, Renewed(1, 30, 10))
    assert effects == (Start(A),)
    lost, _ = step(late, 28.0, Lost(0.5))
    assert lost.deferred == ()


def test_a_known_grant_is_not_taken_twice() -> None:
    state, _ = step(connected(), 1.0, Assigned(A))
    _, effects = step(state, 1.0, Assigned(A))
    assert isinstance(effects[0], Ignore)


def test_a_grant_older_than_what_is_here_is_not_taken() -> None:
    state, _ = step(connected(), 1.0, Assigned(("a", 3)))
    _, effects = step(state, 1.0, Assigned(("a", 2)))
    assert isinstance(effects[0], Ignore)
    _, effects = step(state, 1.0, Assigned(("a", 4)))
    assert effects == (Start(("a", 4)),)


def test_a_drain_hands_running_work_over_once_all_is_flushed() -> None:
    state, _ = step(connected(), 1.0, Holding(frozenset({A}), frozenset({A}), flushed=False))
    state, effects = step(state, 2.0, DrainAsked(wait=False))
    assert effects == (SendSlots(0),)
    flushed = Holding(frozenset({A}), frozenset({A}), flushed=True)
    state, effects = step(state, 2.5, flushed)
    assert effects == (SendGoodbye("drained", handover=True), End("drained"))
    assert step(state, 3.0, Tick()) == (state, ())


def test_a_drain_does_not_wait_for_ever() -> None:
    state, _ = step(connected(), 1.0, Holding(frozenset({A}), NONE, flushed=False))
    state, _ = step(state, 2.0, DrainAsked(wait=False))
    assert session.wake_at(state) == 5.0
    _, effects = step(state, 5.0, Tick())
    assert End("drained") in effects


def test_a_drain_without_a_stream_ends_at_once() -> None:
    state, _ = step(Session(Rules(1)), 0.0, Holding(frozenset({A}), NONE, flushed=False))
    assert step(state, 0.0, DrainAsked(wait=False))[1] == (End("drained"),)


def test_a_waiting_drain_outlives_reconnects() -> None:
    state, _ = step(connected(), 1.0, Holding(frozenset({A}), frozenset({A})))
    state, _ = step(state, 2.0, DrainAsked(wait=True))
    state, _ = step(state, 3.0, Lost(0.0))
    state, effects = step(state, state.at, Tick())
    assert effects == (Dial(),)
    state, effects = step(state, 4.0, Welcomed(3.0, 30, 10))
    assert effects == (SendSlots(0),)
    assert session.open_slots(state) == 0
    state, effects = step(state, 5.0, Holding(NONE, NONE))
    assert effects == (SendGoodbye("drained", handover=False), End("drained"))


def test_a_grant_that_crossed_the_drain_is_executed() -> None:
    state, _ = step(connected(), 1.0, Holding(frozenset({A}), frozenset({A}), flushed=False))
    state, _ = step(state, 1.0, DrainAsked(wait=True))
    assert step(state, 1.1, Assigned(B))[1] == (Start(B),)


def test_stop_ends_now() -> None:
    state, _ = step(connected(), 1.0, Holding(frozenset({A}), frozenset({A})))
    assert step(state, 2.0, StopAsked())[1] == (
        SendGoodbye("stopped", handover=True),
        End("stopped"),
    )


def test_a_planned_move_needs_no_backoff() -> None:
    state, _ = step(connected(), 1.0, MoveAsked(4.0))
    assert session.wake_at(state) == 5.0
    state, effects = step(state, 5.0, Tick())
    assert isinstance(effects[0], Close)
    state, _ = step(state, 5.0, Lost(0.9))
    assert (state.at, state.backoff.failures) == (5.0, 0)


def test_a_dial_without_welcome_is_given_up() -> None:
    state = dialled()
    assert step(state, 9.9, Tick())[1] == ()
    assert isinstance(step(state, 10.0, Tick())[1][0], Close)


def test_what_the_control_plane_asks_for_beats_our_backoff() -> None:
    state, _ = step(connected(), 1.0, Lost(0.9, retry_after=40.0))
    assert state.at == 41.0


def test_backoff_is_full_jitter_with_a_cap_and_resets_after_health() -> None:
    policy = Policy()
    state = Backoff()
    caps = []
    for _ in range(7):
        state = failed(state, 0.0, policy)
        caps.append(delay(state, policy, 1.0))
        assert delay(state, policy, 0.0) == 0.0
    assert caps == [1, 2, 4, 8, 15, 15, 15]
    assert failed(opened(state, 100.0), 130.0, policy).failures == 8
    assert failed(opened(state, 100.0), 160.0, policy).failures == 1
    assert failed(replace(state, failures=5_000), 0.0, policy).failures == 5_001
    assert delay(Backoff(failures=5_001), policy, 1.0) == 15


def test_a_renewal_without_a_pause_is_not_asked_for():
    """Whatever the control plane says, other loops have their turn."""
    state = lease.welcomed(lease.Lease(), 100.0, 30.0, 0.0)
    assert state.next_at > 100.0
    state, number = lease.asked(state, 101.0)
    assert state.next_at > 101.0
    for interval in (0.0, -5.0):
        assert lease.renewed(state, number, 30.0, interval).interval > 0


def test_nobody_keeps_an_agent_away_for_ever():
    waits = [backoff.delay(backoff.Backoff(), Policy(), 0.5, asked) for asked in (-7.0, 1e15)]
    assert waits == [0.0, backoff.LONGEST]
