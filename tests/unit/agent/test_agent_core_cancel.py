from headway_agent.core.cancel import (
    SLACK,
    Asked,
    Cancels,
    Cooperate,
    Kill,
    Running,
    Started,
    Tick,
    step,
    wake_at,
)

A = ("a", 1)


def test_the_supervisor_is_asked_once_and_forced_only_when_it_fails() -> None:
    state, effects = step(Cancels(), 0.0, Asked(A, grace=4.0, started=True))
    assert effects == (Cooperate(A),)
    assert step(state, 1.0, Asked(A, grace=4.0, started=True)) == (state, ())
    assert wake_at(state) == 4.0 + SLACK
    assert step(state, 13.9, Tick()) == (state, ())
    state, effects = step(state, 14.0, Tick())
    assert effects == (Kill(A),)
    assert step(state, 99.0, Tick())[1] == ()


def test_an_attempt_that_ended_needs_no_force() -> None:
    state, _ = step(Cancels(), 0.0, Asked(A, grace=4.0, started=True))
    state, _ = step(state, 1.0, Running(frozenset()))
    assert wake_at(state) is None
    assert step(state, 99.0, Tick())[1] == ()


def test_a_cancel_that_overtakes_the_start_follows_it() -> None:
    state, effects = step(Cancels(), 0.0, Asked(A, grace=4.0, started=False))
    assert effects == ()
    state, effects = step(state, 7.0, Started(A))
    assert effects == (Cooperate(A),)
    assert wake_at(state) == 11.0 + SLACK
    assert step(state, 8.0, Started(("b", 1)))[1] == ()
