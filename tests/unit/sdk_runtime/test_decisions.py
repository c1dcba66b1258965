import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.runtime.decisions import (
    HOLD,
    KILL_AGAIN,
    Cancelling,
    HeldStarts,
    Signal,
    cancel_step,
    decide_exit,
)

FRESH = Cancelling(grace=5.0, kill_grace=3.0)
USR1 = Signal(signal.SIGUSR1, "process")
TERM = Signal(signal.SIGTERM, "group")
KILL = (Signal(signal.SIGKILL, "group"), Signal(signal.SIGKILL, "tree"))


def test_nothing_happens_unasked() -> None:
    assert cancel_step(FRESH, 100.0, "tick") == (FRESH, ())


def test_the_clock_escalates() -> None:
    state, effects = cancel_step(FRESH, 100.0, "asked")
    assert effects == (USR1,)
    assert state.next_at == 105.0
    assert cancel_step(state, 104.9, "tick") == (state, ())
    state, effects = cancel_step(state, 105.0, "tick")
    assert effects == (TERM,)
    assert state.next_at == 108.0
    state, effects = cancel_step(state, 108.0, "tick")
    assert effects == KILL
    state, effects = cancel_step(state, 108.0 + KILL_AGAIN, "tick")
    assert effects == KILL, "until nobody is left"


def test_asking_again_goes_to_the_next_step() -> None:
    state, _ = cancel_step(FRESH, 1.0, "asked")
    state, effects = cancel_step(state, 1.1, "asked")
    assert effects == (TERM,)
    state, effects = cancel_step(state, 1.2, "asked")
    assert effects == KILL
    assert state.killing


def test_kill_goes_to_the_last_step() -> None:
    state, effects = cancel_step(FRESH, 1.0, "kill")
    assert effects == KILL
    assert state.killing


@pytest.mark.parametrize(
    ("ended", "code", "cancel", "expected"),
    [
        ("completed", 0, FRESH, ("completed", "")),
        ("failed", 0, FRESH, ("failed", "")),
        ("refused", 0, FRESH, ("refused", "")),
        ("cancelled", 0, FRESH, ("cancelled", "cancelled")),
        ("completed", 0, Cancelling(1, 1, 1), ("completed", "")),
        ("completed", 1, FRESH, ("crashed", "exit")),
        ("completed", -9, FRESH, ("crashed", "signal")),
        ("completed", -9, Cancelling(1, 1, 3), ("completed", "")),
        ("failed", 1, Cancelling(1, 1, 1), ("cancelled", "cancelled")),
        (None, 0, FRESH, ("crashed", "exit")),
        (None, 3, FRESH, ("crashed", "exit")),
        (None, -11, FRESH, ("crashed", "signal")),
        (None, -15, Cancelling(1, 1, 2), ("cancelled", "cancelled")),
        (None, -9, Cancelling(1, 1, 3), ("cancelled", "killed")),
        (None, 0, Cancelling(1, 1, 1), ("cancelled", "cancelled")),
    ],
)
def test_how_it_ended(
    ended: str | None, code: int, cancel: Cancelling, expected: tuple[str, str]
) -> None:
    assert decide_exit(ended, code, cancel) == expected


@pytest.mark.parametrize(
    ("ended", "code", "expected"),
    [
        ("completed", 0, ("completed", "")),
        ("completed", -9, ("completed", "")),
        ("failed", 0, ("failed", "timed out")),
        ("cancelled", 0, ("failed", "timed out")),
        (None, -15, ("failed", "timed out")),
        (None, -9, ("failed", "timed out")),
    ],
)
def test_how_it_ended_when_its_time_was_up(
    ended: str | None, code: int, expected: tuple[str, str]
) -> None:
    assert decide_exit(ended, code, Cancelling(1, 1, 2), timed_out=True) == expected


def frame(type_: str, call: str = "", parent: str = "root") -> dict[str, Any]:
    return {"type": type_, "call": call, "parent": parent}


def names(raws: list[bytes]) -> list[str]:
    return [raw.decode() for raw in raws]


def feed(held: HeldStarts, now: float, *frames: dict[str, Any]) -> list[str]:
    out: list[bytes] = []
    for one in frames:
        out += held.pass_on(now, one, f"{one['type']} {one['call']}".strip().encode())
    return names(out)


def test_the_end_says_it_all() -> None:
    held = HeldStarts()
    assert feed(held, 0.0, frame("call.started", "a"), frame("call.ended", "a")) == ["call.ended a"]
    assert held.deadline() is None


def test_a_start_that_lasts_is_told_in_time() -> None:
    held = HeldStarts()
    assert feed(held, 1.0, frame("call.started", "a")) == []
    assert held.deadline() == 1.0 + HOLD
    assert held.due(1.0 + HOLD - 0.001) == []
    assert names(held.due(1.0 + HOLD)) == ["call.started a"]
    assert feed(held, 2.0, frame("call.ended", "a")) == ["call.ended a"]


def test_parents_come_before_what_they_called() -> None:
    held = HeldStarts()
    out = feed(
        held,
        0.0,
        frame("call.started", "a"),
        frame("call.started", "b", "a"),
        frame("call.started", "c", "b"),
        frame("call.ended", "c", "b"),
    )
    assert out == ["call.started a", "call.started b", "call.ended c"]


def test_a_retry_and_the_end_of_the_attempt_bring_out_what_was_held() -> None:
    held = HeldStarts()
    assert feed(held, 0.0, frame("call.started", "a"), frame("call.retrying", "a")) == [
        "call.started a",
        "call.retrying a",
    ]
    assert feed(
        held, 0.0, frame("call.started", "b"), frame("call.started", "c"), frame("attempt.ended")
    ) == [
        "call.started b",
        "call.started c",
        "attempt.ended",
    ]


@given(
    st.lists(st.tuples(st.sampled_from("sreT"), st.integers(0, 6), st.integers(0, 6)), max_size=60)
)
def test_every_end_and_every_lasting_start_is_told_once_and_parents_first(
    steps: list[tuple[str, int, int]],
) -> None:
    held = HeldStarts()
    out: list[str] = []
    begun: set[int] = set()
    ended: list[int] = []
    now = 0.0
    for kind, call, parent in steps:
        now += 0.01
        if kind == "T":
            now += HOLD
            out += names(held.due(now))
        elif kind == "s" and call not in begun:
            begun.add(call)
            out += feed(
                held,
                now,
                frame("call.started", str(call), str(parent) if parent in begun else "root"),
            )
        elif kind == "e" and call in begun and call not in ended:
            ended.append(call)
            out += feed(held, now, frame("call.ended", str(call)))
    out += names(held.release_all())
    assert [line for line in out if line.startswith("call.ended")] == [
        f"call.ended {call}" for call in ended
    ]
    for call in begun:
        assert out.count(f"call.started {call}") <= 1
        if call not in ended:
            assert f"call.started {call}" in out
