"""The dispatcher's core: who gets what, and why the others wait."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from headway_control_plane.domain.dispatching import Dispatching
from headway_control_plane.domain.dispatching_words import (
    AttemptClosed,
    AttemptOpened,
    Broken,
    Forget,
    Grant,
    PoolIs,
    RunGone,
    RunWaits,
    SessionDown,
    SessionUp,
    Tick,
    Wait,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POOL, S1, S2, K1, K2 = (UUID(int=n) for n in (1, 11, 12, 21, 22))


def run(n):
    return UUID(int=100 + n)


def waits(n, priority=3, key=K1, due=NOW, ws=1):
    return RunWaits(ws, run(n), POOL, key, priority, due)


def grants(effects):
    return [e.run for e in effects if isinstance(e, Grant)]


def pool(slots=0):
    return PoolIs(1, POOL, "gpu", slots)


def test_runs_go_to_free_slots_in_order_of_arrival_and_the_rest_waits():
    core = Dispatching()
    effects = core.step(
        NOW,
        pool(),
        SessionUp(1, S1, POOL, 2),
        *(waits(n, due=NOW + timedelta(microseconds=n)) for n in range(1)),
    )
    assert grants(effects) == [run(0)]
    effects = core.step(NOW, waits(1), waits(2))
    assert grants(effects) == [run(1)]
    assert core.waiting() == 1
    assert grants(core.step(NOW, AttemptClosed(1, run(0), POOL))) == [run(2)]


def test_a_grant_takes_its_slot_before_the_log_has_answered():
    core = Dispatching()
    core.step(NOW, pool(), SessionUp(1, S1, POOL, 1), waits(1))
    assert grants(core.step(NOW, waits(2))) == []
    core.step(NOW, AttemptOpened(1, run(1), POOL, S1))
    assert grants(core.step(NOW, Tick())) == []


def test_a_refused_grant_gives_its_slot_back():
    core = Dispatching()
    core.step(NOW, pool(), SessionUp(1, S1, POOL, 1), waits(1))
    assert grants(core.step(NOW, AttemptClosed(1, run(1), POOL), waits(1))) == [run(1)]


def test_priority_goes_first_and_age_lifts():
    core = Dispatching()
    core.step(NOW, pool(), waits(1, priority=5), waits(2, priority=1), waits(3, priority=3))
    assert grants(core.step(NOW, SessionUp(1, S1, POOL, 3))) == [run(2), run(3), run(1)]

    aged = Dispatching()
    later = NOW + timedelta(minutes=41)
    aged.step(later, pool(), waits(1, priority=5), waits(2, priority=2, due=later))
    assert grants(aged.step(later, SessionUp(1, S1, POOL, 1))) == [run(1)]


def test_a_flood_of_one_deployment_does_not_starve_another():
    core = Dispatching()
    core.step(
        NOW,
        pool(),
        *(waits(n, key=K1) for n in range(50)),
        *(waits(n, key=K2) for n in range(50, 53)),
    )
    first = grants(core.step(NOW, SessionUp(1, S1, POOL, 6)))
    assert sum(r in {run(50), run(51), run(52)} for r in first) == 3


def test_the_session_with_most_free_slots_is_filled_first():
    core = Dispatching()
    effects = core.step(
        NOW,
        pool(),
        SessionUp(1, S1, POOL, 1),
        SessionUp(1, S2, POOL, 3),
        *(waits(n) for n in range(4)),
    )
    given = [e.session for e in effects if isinstance(e, Grant)]
    assert given.count(S2) == 3
    assert given.count(S1) == 1


def test_a_pool_limit_holds_over_all_sessions():
    core = Dispatching()
    effects = core.step(NOW, pool(2), SessionUp(1, S1, POOL, 5), *(waits(n) for n in range(4)))
    assert len(grants(effects)) == 2
    told = core.step(NOW + timedelta(seconds=2), Tick())
    assert {(e.reason, e.object) for e in told if isinstance(e, Wait)} == {
        ("pool at its limit", "gpu 2/2")
    }


def test_a_waiting_run_is_told_why_and_told_again_when_that_changes():
    core = Dispatching()
    core.step(NOW, pool(), waits(1))
    assert core.step(NOW, Tick()) == []  # too young to need a reason
    later = NOW + timedelta(seconds=2)
    assert core.next_wake(NOW) == NOW + timedelta(seconds=1)
    assert core.step(later, Tick()) == [Wait(1, run(1), "no agent", "gpu")]
    assert core.next_wake(later) is None
    core.step(later, SessionUp(1, S1, POOL, 0))
    assert core.step(later, Tick()) == [Wait(1, run(1), "agents are draining", "gpu")]
    effects = core.step(later, SessionUp(1, S1, POOL, 1))
    assert effects == [Wait(1, run(1), "", ""), Grant(1, run(1), S1)]


def test_a_run_in_the_future_wakes_the_dispatcher_when_it_is_due():
    core = Dispatching()
    due = NOW + timedelta(hours=1)
    core.step(NOW, pool(), SessionUp(1, S1, POOL, 1), waits(1, due=due))
    core.step(NOW + timedelta(seconds=2), Tick())
    assert core.next_wake(NOW + timedelta(seconds=2)) == due
    assert grants(core.step(due, Tick())) == [run(1)]


def test_a_session_that_is_down_gets_nothing_but_keeps_what_it_holds():
    core = Dispatching()
    core.step(NOW, pool(), SessionUp(1, S1, POOL, 2), waits(1))
    core.step(NOW, SessionDown(1, S1, POOL), waits(2))
    assert core.waiting() == 1
    assert grants(core.step(NOW, SessionUp(1, S1, POOL, 2))) == [run(2)]


def test_workspaces_do_not_share_anything():
    core = Dispatching()
    core.step(NOW, SessionUp(2, S1, POOL, 5), waits(1, ws=1))
    assert core.waiting() == 1
    core.step(NOW, Forget(1))
    assert core.waiting() == 0


def test_a_cancelled_run_leaves_its_queue():
    core = Dispatching()
    core.step(NOW, pool(), waits(1), waits(2))
    core.step(NOW, RunGone(1, run(1)))
    assert grants(core.step(NOW, SessionUp(1, S1, POOL, 5))) == [run(2)]


def test_a_hundred_thousand_waiting_runs_cost_no_more_per_grant():
    core = Dispatching()
    core.step(NOW, pool(), SessionUp(1, S1, POOL, 1), *(waits(n) for n in range(100_000)))
    given = 1
    for n in range(2000):
        given += len(core.step(NOW, AttemptClosed(1, run(n), POOL)))
    assert given == 2001


def test_a_workspace_that_breaks_is_forgotten_and_named_and_the_others_are_served():
    core = Dispatching()
    broken = replace(waits(9, ws=2), due_at=None)
    effects = core.step(
        NOW,
        PoolIs(1, POOL, "local", 0),
        SessionUp(1, S1, POOL, 1),
        waits(8, ws=2),
        broken,
        waits(1),
        waits(7, ws=2),
    )
    assert [(e.ws, type(e.error)) for e in effects if isinstance(e, Broken)] == [(2, TypeError)]
    assert grants(effects) == [run(1)]
    assert core.waiting() == 0


def test_what_was_forgotten_leaves_no_trace_however_often():
    core = Dispatching()
    later = NOW + timedelta(days=1)
    for _ in range(50):
        core.step(NOW, *(waits(n, due=later) for n in range(100)))
        core.step(NOW, Forget(1))
    assert core.waiting() == 0
    assert len(core._future) <= 1200
    core.step(NOW, PoolIs(1, POOL, "local", 0), SessionUp(1, S1, POOL, 1), waits(5, due=later))
    assert grants(core.step(later, Tick())) == [run(5)]
