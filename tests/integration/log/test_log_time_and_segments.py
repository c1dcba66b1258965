"""Clocks that jump, days that change, partitions that are made ahead."""

from datetime import timedelta

import pytest

from headway_control_plane.application.ports import START
from headway_control_plane.application.ports import FactsVerdict as V
from headway_control_plane.log.invariants import check
from headway_control_plane.log.reader import Reader
from headway_control_plane.log.segments import DAYS_AHEAD, Segments
from support.log_fixtures import calls, new_fleet, open_log

pytestmark = pytest.mark.postgres


def shift(database, offset: str) -> None:
    """Move the clock of all later connections. A database's setting, because each lane has its own connection."""
    with database.connect() as connection:
        connection.execute(f"ALTER DATABASE {database.name} SET headway.clock_offset = '{offset}'")


async def recorded(log, fleet):
    return await Reader(log.database).read(fleet.ws, START)


async def test_recorded_times_never_go_back_when_the_clock_does(database):
    async with open_log(database.url) as log:
        fleet = await new_fleet(log)
        run = await fleet.granted_run()
    shift(database, "-1 hour")
    async with open_log(database.url) as log:
        fleet.log = log
        before = await recorded(log, fleet)
        verdict = await fleet.report(run, 1, 1, calls(1, 2))
        await fleet.create_run()
        events = await recorded(log, fleet)
        assert verdict.verdict is V.OK
        times = [event.recorded_at for event in events]
        assert times == sorted(times)
        assert {event.recorded_at for event in events[len(before) :]} == {before[-1].recorded_at}
        assert events[-1].occurred_at < before[-1].recorded_at - timedelta(minutes=50)
        assert await check(log.database, Reader(log.database), fleet.ws, fleet.workspace.id) == []


async def test_a_day_change_opens_a_segment_and_breaks_nothing(database):
    async with open_log(database.url) as log:
        fleet = await new_fleet(log)
        run = await fleet.granted_run()
        await fleet.report(run, 1, 1, calls(1, 3))
    shift(database, "1 day")
    async with open_log(database.url) as log:
        fleet.log = log
        fleet.session = await fleet.open_session()
        duplicate = await fleet.report(run, 1, 2, calls(2, 3))
        assert (duplicate.verdict, duplicate.last_seq) == (V.OK, 4), (
            "the guard counts across segments, where the unique index does not reach"
        )
        events = await recorded(log, fleet)
        segments = [event.seg for event in events]
        assert segments == sorted(segments)
        assert len(set(segments)) == 2
        with database.connect() as connection:
            index = connection.execute(
                "SELECT seg, first_offset FROM segment_index ORDER BY seg"
            ).fetchall()
        assert index == [(seg, segments.index(seg) + 1) for seg in sorted(set(segments))]
        page = await Reader(log.database).read(fleet.ws, events[len(events) - 5].cursor, 3)
        assert [event.cursor.offset for event in page] == [
            event.cursor.offset for event in events[-4:-1]
        ]
        assert await check(log.database, Reader(log.database), fleet.ws, fleet.workspace.id) == []


async def test_a_segment_never_goes_back_with_the_clock(database):
    shift(database, "1 day")
    async with open_log(database.url) as log:
        fleet = await new_fleet(log)
    shift(database, "0")
    async with open_log(database.url) as log:
        fleet.log = log
        await fleet.open_session()
        segments = {event.seg for event in await recorded(log, fleet)}
    assert len(segments) == 1


async def test_a_missing_segment_is_made_and_the_flush_goes_through(database):
    async with open_log(database.url) as log:
        fleet = await new_fleet(log)
        with database.connect() as connection:
            names = connection.execute(
                "SELECT relname FROM pg_class WHERE relname ~ '^event_[0-9]+$' AND relkind = 'r' ORDER BY 1 OFFSET 1"
            ).fetchall()
            for (name,) in names:
                connection.execute(f"DROP TABLE {name}")
        shift(database, "3 days")
        await log.stop()
    async with open_log(database.url) as log:
        fleet.log = log
        with database.connect() as connection:
            connection.execute(
                "DO $$ DECLARE n text; BEGIN FOR n IN SELECT relname FROM pg_class "
                "WHERE relname ~ '^event_[0-9]+$' AND relkind = 'r' ORDER BY 1 OFFSET 1 LOOP "
                "EXECUTE 'DROP TABLE ' || n; END LOOP; END $$"
            )
        assert await fleet.open_session()


async def test_segments_are_made_ahead_once(database):
    async with open_log(database.url) as log:
        segments = Segments(log.database)
        assert await segments.ensure() == []
        assert await segments.days_left() == DAYS_AHEAD
    shift(database, "2 days")
    async with open_log(database.url) as log:
        assert await Segments(log.database).days_left() == DAYS_AHEAD


async def test_any_number_of_processes_make_segments_at_once(database):
    import asyncio

    async with open_log(database.url) as log:
        shifted = Segments(log.database, days_ahead=20)
        made = await asyncio.gather(*(shifted.ensure() for _ in range(4)))
    assert sorted(map(len, made)) == [0, 0, 0, 20 - DAYS_AHEAD]
