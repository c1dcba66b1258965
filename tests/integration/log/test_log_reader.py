"""Reading the log: pages, streams, history and live in one, epochs."""

import asyncio

import pytest

from headway_control_plane.application.ports import (
    START,
    Bookmark,
    Cursor,
    EpochChanged,
    UnknownWorkspace,
)
from headway_control_plane.domain.run.events import RunCreated, RunGranted
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log.heads import HeadWatch
from headway_control_plane.log.reader import Reader
from support.log_fixtures import calls, new_fleet, started

pytestmark = pytest.mark.postgres


@pytest.fixture
async def reader(log):
    async with HeadWatch(log.database, log) as heads:
        yield Reader(log.database, heads=heads)


async def test_pages_are_gapless_and_ordered(fleet, reader):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 20)])
    head = await reader.head(fleet.ws)
    after, seen = START, []
    while page := await reader.read(fleet.ws, after, 7):
        seen += page
        after = page[-1].cursor
    assert [event.cursor.offset for event in seen] == list(range(1, head.cursor.offset + 1))
    assert seen[-1].chain == head.chain
    assert await reader.read(fleet.ws, head.cursor) == []


async def test_events_decode_to_what_was_decided(fleet, reader):
    run = await fleet.granted_run()
    events = await reader.read_stream(fleet.ws, Stream(StreamKind.RUN, run))
    created, granted = (event.decode() for event in events)
    assert isinstance(created, RunCreated)
    assert created.flow == "inventory"
    assert granted == RunGranted(1, fleet.session, fleet.agent)
    content = await reader.blobs(fleet.ws, [created.parameters.digest, b"absent"])
    assert content == {created.parameters.digest: b'{"n": 1}'}


async def test_a_stream_is_read_from_any_version(fleet, reader):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 9)])
    attempt = Stream(StreamKind.ATTEMPT, run, 1)
    page = await reader.read_stream(fleet.ws, attempt, after_version=4, limit=3)
    assert [event.version for event in page] == [5, 6, 7]
    assert all(event.is_fact for event in page)


@pytest.mark.parametrize("near", [0, 5_000])
async def test_some_streams_are_read_in_the_order_of_the_log(fleet, reader, monkeypatch, near):
    monkeypatch.setattr("headway_control_plane.log.reader._NEAR", near)
    first, second = await fleet.granted_run(), await fleet.granted_run()
    for seq in range(1, 4):
        await fleet.report(first, 1, seq, calls(seq, 1))
        await fleet.report(second, 1, seq, calls(seq, 1))
    streams = [Stream(StreamKind.RUN, first), Stream(StreamKind.ATTEMPT, first, 0)]
    after, seen = START, []
    while page := await reader.read(fleet.ws, after, 2, streams):
        seen += page
        after = page[-1].cursor
    assert [(e.stream.kind, e.version) for e in seen] == [(6, 1), (6, 2), (7, 1), (7, 2), (7, 3)]
    assert {e.stream.id for e in seen} == {first}


async def test_the_newest_events_are_read_backwards(fleet, reader):
    head = (await reader.head(fleet.ws)).cursor
    page = await reader.read_before(fleet.ws, head, 2)
    assert [e.cursor.offset for e in page] == [head.offset - 2, head.offset - 1]


async def test_following_gives_history_then_live_then_bookmarks(fleet, reader):
    following = reader.follow(fleet.ws, START)
    history = await anext(following)
    bookmark = await anext(following)
    assert bookmark == Bookmark(history[-1].cursor)
    waiting = asyncio.ensure_future(anext(following))
    run = await fleet.create_run()
    (event,) = await asyncio.wait_for(waiting, 5)
    assert event.stream == Stream(StreamKind.RUN, run)
    await following.aclose()


async def test_followers_at_the_same_place_share_one_look(fleet, reader, monkeypatch):
    looks = 0
    look = Reader._look

    async def counted(*given):
        nonlocal looks
        looks += 1
        return await look(*given)

    head = (await reader.head(fleet.ws)).cursor
    followers = [reader.follow(fleet.ws, head) for _ in range(20)]
    for follower in followers:
        assert isinstance(await anext(follower), Bookmark)
    monkeypatch.setattr(Reader, "_look", counted)
    waiting = [asyncio.ensure_future(anext(follower)) for follower in followers]
    await asyncio.sleep(0)
    waiting.pop().cancel()  # one that leaves takes nothing from the others
    run = await fleet.create_run()
    pages = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert {event.stream for page in pages for event in page} == {Stream(StreamKind.RUN, run)}
    assert all(page is pages[0] for page in pages)
    assert 1 <= looks <= 3  # a regular look at the heads may have come between
    for follower in followers[:-1]:
        await follower.aclose()


async def test_following_sees_what_another_process_appends(fleet, log, reader):
    from support.log_fixtures import open_log

    following = reader.follow(fleet.ws, (await reader.head(fleet.ws)).cursor)
    assert isinstance(await anext(following), Bookmark)
    waiting = asyncio.ensure_future(anext(following))
    async with open_log(log.database._url) as other:
        fleet.log = other
        run = await fleet.create_run()
    (event,) = await asyncio.wait_for(waiting, 5)
    assert event.stream.id == run
    await following.aclose()


async def test_a_cursor_of_another_epoch_is_a_typed_reset(fleet, log, reader, database):
    head = (await reader.head(fleet.ws)).cursor
    with database.connect() as connection:
        connection.execute("UPDATE workspace_head SET epoch = 2 WHERE ws = %s", [fleet.ws])
    with pytest.raises(EpochChanged) as changed:
        await reader.read(fleet.ws, head)
    assert changed.value.head == Cursor(2, head.offset)
    page = await reader.read(fleet.ws, START)
    assert page[-1].cursor == Cursor(2, head.offset)
    assert page[-1].epoch == 1
    assert await reader.read(fleet.ws, page[-1].cursor) == []


async def test_a_cursor_behind_the_end_is_a_typed_reset(fleet, reader):
    head = (await reader.head(fleet.ws)).cursor
    with pytest.raises(EpochChanged):
        await reader.read(fleet.ws, Cursor(head.epoch, head.offset + 1))


async def test_a_workspace_sees_nothing_of_another(log, fleet, reader):
    other = await new_fleet(log)
    run = await other.create_run()
    page = await reader.read(fleet.ws, START)
    assert run not in {event.stream.id for event in page}
    assert await reader.read_stream(fleet.ws, Stream(StreamKind.RUN, run)) == []
    with pytest.raises(UnknownWorkspace):
        await reader.read(999, START)
