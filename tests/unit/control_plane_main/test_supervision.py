"""What `headway up` decides, driven without processes. One world plays the parts; hypothesis plays the accidents."""

from hypothesis import given
from hypothesis import strategies as st

from headway_control_plane.main.supervision import (
    AllReady,
    BecameReady,
    Died,
    Effects,
    Finish,
    Input,
    Interrupted,
    Manner,
    Patience,
    Phase,
    Start,
    State,
    Status,
    Stop,
    Tell,
    Tick,
    begin,
    next_deadline,
    step,
)

NAMES = ("db", "server", "agent")
PATIENCE = Patience()


def run(*arrivals: tuple[float, Input], state: State | None = None) -> tuple[State, list[Effects]]:
    state = state or begin(NAMES, PATIENCE)
    history = []
    for now, arrived in arrivals:
        state, effects = step(state, now, arrived)
        history.append(effects)
    return state, history


def serving() -> State:
    state, _ = run(
        (0, Tick()), (1, BecameReady("db")), (2, BecameReady("server")), (3, BecameReady("agent"))
    )
    return state


def statuses(state: State) -> list[Status]:
    return [part.status for part in state.parts]


def test_each_part_starts_once_all_before_it_are_ready() -> None:
    state, history = run(
        (0, Tick()),
        (1, Tick()),
        (1, BecameReady("db")),
        (2, BecameReady("server")),
        (3, BecameReady("agent")),
    )

    assert history == [
        (Start("db"),),
        (),
        (Tell("db", "is ready"), Start("server")),
        (Tell("server", "is ready"), Start("agent")),
        (Tell("agent", "is ready"), AllReady()),
    ]
    assert state.phase is Phase.SERVING


def test_a_part_that_dies_starts_again_and_nothing_else_does() -> None:
    state, history = run(
        (100, Died("server", "was killed by SIGKILL")),
        (100 + PATIENCE.first_pause, Tick()),
        (101, BecameReady("server")),
        state=serving(),
    )

    assert history == [
        (Tell("server", "was killed by SIGKILL; starting it again"),),
        (Start("server"),),
        (Tell("server", "is back"),),
    ]
    assert state.phase is Phase.SERVING


def test_a_part_waits_for_the_parts_before_it_even_when_its_pause_is_over() -> None:
    state, history = run(
        (100, Died("db", "x")),
        (100, Died("server", "y")),
        (101, Tick()),
        (102, BecameReady("db")),
        state=serving(),
    )

    assert [e for e in history[2] if isinstance(e, Start)] == [Start("db")]
    assert history[3] == (Tell("db", "is back"), Start("server"))
    assert statuses(state) == [Status.READY, Status.STARTING, Status.READY]


def test_pauses_grow_with_each_early_death_and_begin_anew_after_a_stable_life() -> None:
    state, now, pauses = serving(), 100.0, []
    for _ in range(9):
        state, _ = step(state, now, Died("agent", "x"))
        due = next_deadline(state)
        assert due is not None
        pauses.append(due - now)
        state, effects = step(state, due, Tick())
        assert effects == (Start("agent"),)
        state, _ = step(state, due, BecameReady("agent"))
        now = due + 1

    assert pauses[:3] == [0.25, 0.5, 1.0]
    assert pauses[-1] == PATIENCE.longest_pause
    state, _ = step(state, now + PATIENCE.stable, Died("agent", "x"))
    assert next_deadline(state) == now + PATIENCE.stable + PATIENCE.first_pause


def test_a_part_that_was_never_ready_is_given_up_and_the_rest_is_stopped() -> None:
    state, _ = run((0, Tick()), (1, BecameReady("db")))
    last: Effects = ()
    for attempt in range(PATIENCE.start_attempts):
        state, last = step(state, 10.0 * attempt + 2, Died("server", "ended with exit code 1"))
        if attempt < PATIENCE.start_attempts - 1:
            state, effects = step(state, 10.0 * attempt + 9, Tick())
            assert effects == (Start("server"),)

    assert last == (
        Tell("server", "ended with exit code 1; it does not start"),
        Stop("db", Manner.DRAIN),
    )
    state, last = step(state, 50, Died("db", "ended with exit code 0"))
    assert last == (Finish(1),)


def test_a_part_that_does_not_become_ready_is_killed_and_started_again() -> None:
    _, history = run(
        (0, Tick()),
        (PATIENCE.start, Tick()),
        (PATIENCE.start, Died("db", "was killed by SIGKILL")),
        (PATIENCE.start + 1, Tick()),
    )

    assert history[1] == (Tell("db", "does not become ready"), Stop("db", Manner.KILL))
    assert history[3] == (Start("db"),)


def test_ctrl_c_stops_the_parts_one_by_one_in_the_opposite_order() -> None:
    state, history = run(
        (100, Interrupted()),
        (101, Died("agent", "ended")),
        (102, Died("server", "ended")),
        (103, Died("db", "ended")),
        state=serving(),
    )

    assert history == [
        (Stop("agent", Manner.DRAIN),),
        (Stop("server", Manner.DRAIN),),
        (Stop("db", Manner.DRAIN),),
        (Finish(0),),
    ]
    assert state.phase is Phase.OVER


def test_a_part_that_does_not_drain_is_terminated_then_killed() -> None:
    end_of_drain = 100 + PATIENCE.drain
    _, history = run(
        (100, Interrupted()),
        (end_of_drain, Tick()),
        (end_of_drain + PATIENCE.terminate, Tick()),
        state=serving(),
    )

    assert history == [
        (Stop("agent", Manner.DRAIN),),
        (Stop("agent", Manner.TERMINATE),),
        (Stop("agent", Manner.KILL),),
    ]


def test_a_second_ctrl_c_stops_everything_now() -> None:
    state, history = run((100, Interrupted()), (101, Interrupted()), state=serving())

    assert history[1] == (
        Stop("agent", Manner.KILL),
        Stop("server", Manner.KILL),
        Stop("db", Manner.KILL),
    )
    _, history = run(*((102, Died(name, "x")) for name in NAMES), state=state)
    assert history[-1] == (Finish(130),)


def test_a_part_that_dies_while_another_drains_is_not_started_again() -> None:
    state, history = run(
        (100, Interrupted()), (101, Died("server", "x")), (102, Died("agent", "x")), state=serving()
    )

    assert history[1:] == [(), (Stop("db", Manner.DRAIN),)]
    assert statuses(state) == [Status.STOPPING, Status.STOPPED, Status.STOPPED]


accidents = st.lists(
    st.tuples(
        st.floats(0.0, 40.0),
        st.one_of(
            st.just(Tick()),
            st.just(Interrupted()),
            st.sampled_from(NAMES).map(BecameReady),
            st.sampled_from(NAMES).map(lambda name: Died(name, "x")),
        ),
    ),
    max_size=60,
)


@given(accidents)
def test_whatever_happens_it_ends_when_asked_and_never_runs_a_part_twice(
    story: list[tuple[float, Input]],
) -> None:
    state, now, alive, finished = begin(NAMES, PATIENCE), 0.0, set[str](), False

    def feed(arrived: Input) -> None:
        nonlocal state, finished
        if isinstance(arrived, Died):
            if arrived.name not in alive:
                return
            alive.discard(arrived.name)
        if isinstance(arrived, BecameReady) and arrived.name not in alive:
            return
        state, effects = step(state, now, arrived)
        for effect in effects:
            match effect:
                case Start(name):
                    assert name not in alive
                    assert not finished
                    alive.add(name)
                case Stop(name, _):
                    assert name in alive
                case Finish():
                    assert not alive
                    finished = True

    for pause, arrived in story:
        now += pause
        feed(arrived)
    # Then Ctrl-C, and every part ends when it is told to.
    for _ in range(2 * len(NAMES) + 4):
        feed(Interrupted() if state.phase in {Phase.STARTING, Phase.SERVING} else Tick())
        for part in state.parts:
            if part.status is Status.STOPPING:
                feed(Died(part.name, "ended"))
    assert finished
