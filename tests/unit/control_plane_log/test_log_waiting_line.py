"""The line is bounded, keeps its order, holds callers back and turns them away."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from headway_control_plane.application.ports import Unavailable
from headway_control_plane.domain.commands import CancelRun
from headway_control_plane.log.facts import PreparedFacts
from headway_control_plane.log.items import CommandItem, FactsItem
from headway_control_plane.log.waiting_line import Limits, WaitingLine

RUN = UUID(int=1)


def command() -> CommandItem:
    future = asyncio.get_running_loop().create_future()
    return CommandItem(1, future, CancelRun(RUN), "test", None, "", None)


def facts(count: int) -> FactsItem:
    future = asyncio.get_running_loop().create_future()
    prepared = PreparedFacts(run=RUN, fence=1, first_seq=1, links=[(b"", b"")] * count)
    return FactsItem(1, future, [prepared], "test", "")


async def test_what_waits_is_taken_in_order_up_to_the_limit():
    line = WaitingLine(Limits(flush_events=10))
    items = [facts(4), facts(4), facts(4)]
    for item in items:
        await line.put(item)
    assert line.take() == items[:2]
    assert line.take() == items[2:]
    assert line.take() == []


async def test_an_item_beyond_the_limit_goes_alone():
    line = WaitingLine(Limits(flush_events=10))
    large = facts(50)
    await line.put(large)
    await line.put(command())
    assert line.take() == [large]


async def test_a_full_line_holds_callers_back_until_there_is_room():
    line = WaitingLine(Limits(waiting_events=4))
    for _ in range(2):
        await line.put(command())
    third = asyncio.ensure_future(line.put(command()))
    await asyncio.sleep(0)
    assert not third.done()
    line.take()
    await third
    assert len(line) == 1


async def test_a_line_that_stays_full_turns_callers_away():
    line = WaitingLine(Limits(waiting_events=1, patience=timedelta(milliseconds=1)))
    await line.put(command())
    with pytest.raises(Unavailable, match="Try again"):
        await line.put(command())


async def test_bytes_count_too():
    line = WaitingLine(Limits(waiting_bytes=1, patience=timedelta(milliseconds=1)))
    await line.put(command())
    with pytest.raises(Unavailable):
        await line.put(command())


async def test_who_stopped_waiting_is_left_out():
    line = WaitingLine(Limits())
    gone, here = command(), command()
    await line.put(gone)
    await line.put(here)
    gone.future.cancel()
    assert line.take() == [here]


async def test_a_closed_line_hands_out_what_it_has_and_takes_nothing():
    line = WaitingLine(Limits())
    item = command()
    await line.put(item)
    line.close()
    with pytest.raises(Unavailable):
        await line.put(command())
    assert await line.wait()
    assert line.take() == [item]
    assert not await line.wait()


async def test_turning_away_answers_everybody():
    line = WaitingLine(Limits())
    item = command()
    await line.put(item)
    line.turn_away("The database can't be reached.")
    assert isinstance(item.future.exception(), Unavailable)
    assert len(line) == 0
