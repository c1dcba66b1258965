"""A cancel strikes user code of task threads, and each such code once."""

import threading
from collections.abc import Callable

import pytest

from headway.errors import Cancelled
from headway.runtime.interrupts import Interrupts


class Busy:
    """User code that works until it is struck, and then cleans up."""

    def __init__(self) -> None:
        self.began, self.cleaning, self.go_on = (threading.Event() for _ in range(3))
        self.is_clean = False

    def __call__(self) -> None:
        try:
            self.began.set()
            while True:
                sum(range(100))
        finally:
            self.cleaning.set()
            self.go_on.wait(30)
            self.is_clean = True


def in_thread(interrupts: Interrupts, code: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        with pytest.raises(Cancelled):
            interrupts.run(code, (), {})

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_second_strike_does_not_fall_into_what_cleans_up():
    interrupts, busy = Interrupts(), Busy()
    thread = in_thread(interrupts, busy)
    assert busy.began.wait(30)
    interrupts.strike()
    assert busy.cleaning.wait(30)
    interrupts.strike()  # as another call does that ends by the same cancel
    busy.go_on.set()
    thread.join(30)
    assert busy.is_clean


def test_nothing_begins_after_the_strike():
    interrupts = Interrupts()
    interrupts.strike()
    with pytest.raises(Cancelled):
        interrupts.run(print, (), {})


def test_what_called_the_struck_code_in_the_same_thread_is_struck_by_the_next():
    interrupts, busy = Interrupts(), Busy()
    busy.go_on.set()
    seen: list[str] = []

    def outer() -> None:
        try:
            try:
                interrupts.run(busy, (), {})
            except Cancelled:
                seen.append("inner")
                interrupts.strike()
            while True:
                sum(range(100))
        finally:
            seen.append("outer")

    thread = in_thread(interrupts, outer)
    assert busy.began.wait(30)
    interrupts.strike()
    thread.join(30)
    assert seen == ["inner", "outer"]
