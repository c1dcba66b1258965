"""What the dispatcher's core gives ahead of what is about to become true, and how it takes it back."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from headway_control_plane.domain.dispatching import Dispatching
from headway_control_plane.domain.dispatching_words import (
    AttemptClosed,
    AttemptOpened,
    Grant,
    PoolIs,
    RunGone,
    RunWaits,
    SessionDown,
    SessionUp,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POOL, S1, S2, K1 = (UUID(int=n) for n in (1, 11, 12, 21))


def run(n):
    return UUID(int=100 + n)


def waits(n, due=NOW, home=None):
    return RunWaits(1, run(n), POOL, K1, 3, due, home)


def ends(n):
    return AttemptClosed(1, run(n), POOL, S1)


def core_of(slots=1, limit=0, *, waiting=(), held=()):
    core = Dispatching()
    core.step(NOW, PoolIs(1, POOL, "gpu", limit), SessionUp(1, S1, POOL, slots))
    core.step(NOW, *(AttemptOpened(1, run(n), POOL, S1) for n in held))
    core.step(NOW, *map(waits, waiting))
    return core


def grants(effects):
    return [(e.run, e.session, e.instead_of) for e in effects if isinstance(e, Grant)]


def test_a_run_that_is_being_created_takes_a_free_slot():
    core = core_of(slots=1)
    assert grants(core.foresee_run(NOW, waits(1))) == [(run(1), S1, None)]
    assert grants(core.foresee_run(NOW, waits(2))) == []
    assert core.waiting() == 0
    # The commit says the same once more, and changes nothing.
    assert grants(core.step(NOW, waits(1), AttemptOpened(1, run(1), POOL, S1))) == []
    assert grants(core.step(NOW, waits(2), ends(1))) == [(run(2), S1, None)]


def test_without_a_free_slot_nothing_is_kept_of_a_run_that_may_never_be():
    core = core_of(slots=1, held=[9])
    assert core.foresee_run(NOW, waits(1)) == []
    assert grants(core.step(NOW, ends(9))) == []


def test_a_run_that_waits_already_stays_where_it_is():
    core = core_of(slots=1, held=[9], waiting=[1])
    assert core.foresee_run(NOW, waits(1)) == []
    assert grants(core.step(NOW, ends(9))) == [(run(1), S1, None)]


def test_who_ends_leaves_the_slot_to_the_next_in_line():
    core = core_of(slots=1, held=[9], waiting=[1, 2])
    assert grants(core.foresee_end(NOW, ends(9))) == [(run(1), S1, run(9))]
    assert core.foresee_end(NOW, ends(9)) == []  # it holds nothing any more
    assert grants(core.step(NOW, ends(9), AttemptOpened(1, run(1), POOL, S1))) == []
    assert core.waiting() == 1


def test_the_end_of_an_attempt_nobody_waits_for_changes_nothing():
    core = core_of(slots=1, held=[9])
    assert core.foresee_end(NOW, ends(9)) == []
    assert grants(core.step(NOW, waits(1))) == []
    core.step(NOW, RunGone(1, run(1)), waits(2, due=NOW + timedelta(hours=1)))
    assert core.foresee_end(NOW, ends(9)) == []
    assert grants(core.step(NOW, waits(3))) == []


def test_an_end_that_did_not_come_takes_its_slot_back():
    core = core_of(slots=1, held=[9], waiting=[1, 2])
    core.foresee_end(NOW, ends(9))
    taken_back = [RunGone(1, run(1)), ends(1), AttemptOpened(1, run(9), POOL, S1)]
    assert grants(core.step(NOW, *taken_back)) == []
    assert grants(core.step(NOW, waits(1), ends(9))) == [(run(2), S1, None)]


def test_a_session_that_is_down_leaves_nothing():
    core = core_of(slots=1, held=[9], waiting=[1])
    core.step(NOW, SessionDown(1, S1, POOL))
    assert core.foresee_end(NOW, ends(9)) == []
    assert core.foresee_run(NOW, waits(2)) == []


def test_a_pool_with_a_limit_of_its_own_takes_the_long_way():
    core = core_of(slots=4, limit=2, held=[8])
    assert core.foresee_run(NOW, waits(1)) == []
    core = core_of(slots=4, limit=1, held=[9], waiting=[1])
    assert core.foresee_end(NOW, ends(9)) == []


def test_a_slot_goes_to_whose_home_it_is_before_others():
    agent = UUID(int=5)
    core = Dispatching()
    core.step(NOW, PoolIs(1, POOL, "gpu", 0), SessionUp(1, S1, POOL, 1, agent))
    core.step(NOW, AttemptOpened(1, run(9), POOL, S1))
    core.step(NOW, waits(1), waits(2, home=agent))
    assert grants(core.foresee_end(NOW, ends(9))) == [(run(2), S1, run(9))]
