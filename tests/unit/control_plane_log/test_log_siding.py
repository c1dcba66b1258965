"""What cannot be written now waits beside the line, in its order, and never for ever."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from headway_control_plane.application.ports import Unavailable
from headway_control_plane.log.siding import EVENTS_MAX, LONGEST_PAUSE, TELL_AFTER, Siding

PATIENCE = timedelta(seconds=10)


class Waiting(SimpleNamespace):
    def settle(self, answer):
        self.future.set_exception(answer)


@pytest.fixture
def siding():
    return Siding(patience=PATIENCE, retry_after=timedelta(seconds=1))


@pytest.fixture
def make():
    loop = asyncio.new_event_loop()

    def one(ws, name="", events=1):
        return Waiting(ws=ws, name=name, events=events, future=loop.create_future())

    yield one
    loop.close()


def test_an_empty_siding_lets_everything_through(siding, make):
    items = [make(1), make(2)]
    assert siding.merge(items, 0.0) == items
    assert not siding


def test_a_held_workspace_keeps_its_order_and_the_others_pass(siding, make):
    first, second, other = make(1, "first"), make(1, "second"), make(2, "other")
    siding.put([first], 0.0)
    assert siding.merge([second, other], 0.0) == [other]
    pause = siding.pause(0.0)
    assert pause > 0
    assert siding.merge([], pause) == [first, second]
    siding.settle()
    assert not siding


def test_what_is_still_held_waits_longer_each_time(siding, make):
    now, pauses = 0.0, []
    siding.put([make(1)], now)
    while not pauses or pauses[-1] < LONGEST_PAUSE:
        pauses.append(siding.pause(now))
        now += pauses[-1]
        siding.put(siding.merge([], now), now)
        siding.settle()
    assert pauses == sorted(pauses)
    assert siding


def test_it_says_whose_lock_it_is_and_gives_up(siding, make, caplog):
    item = make(7)
    siding.put([item], 0.0)
    siding.put(siding.merge([], TELL_AFTER), TELL_AFTER)
    siding.put(siding.merge([], 5.0), 5.0)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "workspace 7" in caplog.text
    siding.put(siding.merge([], 11.0), 11.0)
    with pytest.raises(Unavailable):
        item.future.result()
    siding.settle()
    assert not siding


def test_too_much_of_one_workspace_is_turned_away(siding, make):
    siding.put([make(1, events=EVENTS_MAX)], 0.0)
    late = make(1)
    assert siding.merge([late], 0.0) == []
    with pytest.raises(Unavailable):
        late.future.result()


def test_nobody_waits_for_ever_at_the_end(siding, make):
    item = make(1)
    siding.put([item], 0.0)
    siding.turn_away("stopping")
    with pytest.raises(Unavailable, match="stopping"):
        item.future.result()
    assert not siding
