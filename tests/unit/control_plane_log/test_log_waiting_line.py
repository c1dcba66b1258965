"""The line is bounded, keeps its order, is fair among workspaces, holds callers back and turns them away."""

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


def command(ws: int = 1) -> CommandItem:
    future = asyncio.get_running_loop().create_future()
    return CommandItem(ws, future, CancelRun(RUN), "test", None, "", None)


def facts(count: int, ws: int = 1) -> FactsItem:
    future = asyncio.get_running_loop().create_future()
    prepared = PreparedFacts(run=RUN, fence=1, first_seq=1, links=[(b"", b"")] * count)
    return FactsItem(ws, future, [prepared], "test", "")


async def put_all(line: WaitingLine, items: list) -> None:
    for item in items:
        await line.put(item)


async def test_what_waits_is_taken_in_order_up_to_the_limit():
    line = WaitingLine(Limits(flush_events=10))
    items = [facts(4), facts(4), facts(4)]
    for item in items:
        await line.put(item)
    assert line.take() == items[:2]
    assert line.take() == items[2:]
    assert line.take() == []


async def test_a_workspace_with_little_is_served_whole_before_one_that_floods():
    line = WaitingLine(Limits(flush_events=1_000))
    flood = [facts(256, ws=1) for _ in range(20)]
    few = [facts(1, ws=2) for _ in range(50)]
    await put_all(line, flood + few)
    first = line.take()
    assert [item for item in first if item.ws == 2] == few
    assert [item for item in first if item.ws == 1] == flood[:3]
    assert line.take() == flood[3:6]


async def test_two_that_flood_share_a_flush_in_halves():
    line = WaitingLine(Limits(flush_events=100))
    await put_all(line, [facts(10, ws=1) for _ in range(20)] + [facts(10, ws=2) for _ in range(20)])
    assert sorted(item.ws for item in line.take()) == [1] * 5 + [2] * 5


async def test_who_found_no_place_in_a_flush_is_first_in_the_next():
    line = WaitingLine(Limits(flush_events=10))
    await put_all(line, [facts(10, ws) for ws in (1, 2, 3) for _ in range(2)])
    assert [item.ws for _ in range(6) for item in line.take()] == [1, 2, 3, 1, 2, 3]


async def test_a_workspace_that_fills_its_part_leaves_room_for_others():
    line = WaitingLine(Limits(waiting_events=4, crowd=2, patience=timedelta(milliseconds=1)))
    await put_all(line, [command(1), command(1)])
    with pytest.raises(Unavailable):
        await line.put(command(1))
    await put_all(line, [command(2), command(2)])
    with pytest.raises(Unavailable):
        await line.put(command(3))
    line.take()
    await line.put(command(3))


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
