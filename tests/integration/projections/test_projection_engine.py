"""The engine over a real log: what is shown is what the log says, whatever fails on the way."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.ports import Cursor, EpochChanged
from headway_control_plane.clock import SystemClock
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.commands import CancelRun
from headway_control_plane.log.reader import Reader
from headway_control_plane.projections import checkpoints, tasks
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.read_model import BrokenEvent
from headway_control_plane.projections.runs import get_run
from headway_control_plane.projections.task_timeline import TaskTimeline
from headway_control_plane.projections.verify import verify
from support.log_fixtures import NOW_US, calls, exited, fact, new_fleet, started

pytestmark = pytest.mark.postgres


@pytest.fixture
async def engine(log):
    made = make_engine(log)
    await made.prepare()
    return made


def make_engine(log, *, reader=None, batch=1000) -> ProjectionEngine:
    reader = reader or Reader(log.database, role=Role.PROJECTOR)
    return ProjectionEngine(log.database, reader, [TaskTimeline()], batch=batch)


async def caught_up(engine, ws: int) -> None:
    engine.mark(ws)
    await engine.catch_up()


async def counts_of(log, ws: int, run: UUID) -> tasks.TaskCounts | None:
    async with log.database.transaction(Role.APP, ws=ws) as connection:
        return (await tasks.counts(connection, ws, [run])).get(run)


async def page_of(log, ws: int, run: UUID, **options) -> tasks.TaskPage:
    async with log.database.transaction(Role.APP, ws=ws) as connection:
        return await tasks.page(connection, ws, run, 1, **options)


def running(name: str) -> object:
    return fact(attempt_pb2.CallStarted(call=name.encode().ljust(16), name=name, kind=1))


async def test_facts_become_rows_and_sums(engine, log, fleet):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 30), running("load")])
    await caught_up(engine, fleet.ws)

    sums = await counts_of(log, fleet.ws, run)
    assert (sums.completed, sums.running, sums.total) == (30, 1, 31)
    page = await page_of(log, fleet.ws, run, limit=20)
    assert len(page.items) == 20
    rest = await page_of(log, fleet.ws, run, after=page.next, limit=20)
    assert [task.name for task in rest.items][-1] == "load"
    assert rest.next is None
    failed = await page_of(log, fleet.ws, run, statuses=["failed"])
    assert failed.items == ()


async def test_small_steps_and_one_large_step_show_the_same(log, fleet):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 40), running("load"), exited(3)])
    engine = make_engine(log, batch=3)
    await engine.prepare()
    await caught_up(engine, fleet.ws)
    sums = await counts_of(log, fleet.ws, run)
    assert (sums.completed, sums.interrupted) == (40, 1)


async def test_a_suspended_runs_calls_are_paused_until_it_ends(engine, log, fleet):
    run = await fleet.granted_run()
    wait = attempt_pb2.Wait(call=b"w" * 16, kind="input", name="ok?", since_us=NOW_US)
    asleep = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=[wait])
    await fleet.report(run, 1, 1, [started(), *calls(1, 3), running("ask"), asleep])
    await caught_up(engine, fleet.ws)
    sums = await counts_of(log, fleet.ws, run)
    assert (sums.completed, sums.paused, sums.interrupted, sums.total) == (3, 1, 0, 4)
    paused = await page_of(log, fleet.ws, run, statuses=["paused"])
    assert [(task.name, task.ended_at) for task in paused.items] == [("ask", None)]
    async with log.database.transaction(Role.APP, ws=fleet.ws) as connection:
        view = await get_run(connection, fleet.ws, run, now=SystemClock().now())
        found = await tasks.groups(connection, fleet.ws, run, 1, now=SystemClock().now())
    assert (view.tasks.paused, view.tasks.interrupted) == (1, 0)
    assert {group.name: group.paused for group in found.shown}["ask"] == 1

    await fleet.execute(CancelRun(run, ""))
    await caught_up(engine, fleet.ws)
    sums = await counts_of(log, fleet.ws, run)
    assert (sums.completed, sums.paused, sums.cancelled, sums.total) == (3, 0, 1, 4)
    reader = Reader(log.database, role=Role.PROJECTOR)
    assert (await verify(log.database, reader, TaskTimeline(), fleet.ws)).holds


async def test_two_engines_at_once_project_each_event_once(log, fleet):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 200)])
    engines = [make_engine(log, batch=7) for _ in range(2)]
    await engines[0].prepare()
    await asyncio.gather(*(caught_up(engine, fleet.ws) for engine in engines))
    assert (await counts_of(log, fleet.ws, run)).completed == 200


async def test_workspaces_take_turns(log):
    one, other = await new_fleet(log), await new_fleet(log)
    engine = make_engine(log, batch=5)
    await engine.prepare()
    for fleet in (one, other):
        run = await fleet.granted_run()
        await fleet.report(run, 1, 1, [started(), *calls(1, 30)])
    engine.mark(one.ws)
    engine.mark(other.ws)
    await engine.run_once()
    await engine.run_once()
    places = [
        (await engine.freshness(f.ws, "task_timeline")).checkpoint.offset for f in (one, other)
    ]
    assert places == [5, 5]


async def test_readers_wait_for_what_they_wrote(engine, log, fleet):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 5)])
    head = (await engine.freshness(fleet.ws, "task_timeline")).head
    assert not await engine.wait_until(fleet.ws, "task_timeline", head, seconds=0.05)

    waiting = asyncio.ensure_future(engine.wait_until(fleet.ws, "task_timeline", head, seconds=20))
    await caught_up(engine, fleet.ws)
    assert await waiting
    assert (await engine.freshness(fleet.ws, "task_timeline")).behind == 0


async def test_a_cursor_of_another_history_is_refused(engine, fleet):
    head = (await engine.freshness(fleet.ws, "task_timeline")).head
    with pytest.raises(EpochChanged):
        await engine.wait_until(fleet.ws, "task_timeline", replace(head, epoch=head.epoch + 1))
    with pytest.raises(EpochChanged):
        await engine.wait_until(fleet.ws, "task_timeline", replace(head, offset=head.offset + 1))


async def test_a_lost_hint_is_found_by_the_sweep(engine, log, fleet):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 3)])
    await engine.sweep([])
    assert not await engine.run_once()
    await engine.sweep(range(1024))
    await engine.catch_up()
    assert (await counts_of(log, fleet.ws, run)).completed == 3
    await engine.sweep(range(1024))
    assert not await engine.run_once(), "who is up to date gets no turn"
    assert (await engine.freshness(fleet.ws, "task_timeline")).behind == 0


class Poisoned(TaskTimeline):
    """Cannot fold the event at one offset."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    async def apply(self, connection, ws, version, events):
        for event in events:
            if event.cursor.offset == self.offset:
                raise BrokenEvent(event, ValueError("out of range"))
        await super().apply(connection, ws, version, events)


async def test_a_failing_event_stops_its_workspace_in_sight_and_no_other(log, caplog):
    one, other = await new_fleet(log), await new_fleet(log)
    runs = []
    for fleet in (one, other):
        runs.append(await fleet.granted_run())
        await fleet.report(runs[-1], 1, 1, [started(), *calls(1, 10)])
    reader = Reader(log.database, role=Role.PROJECTOR)
    bad = (await log_end(log, one)).offset - 2

    class OnlyOne(Poisoned):
        async def apply(self, connection, ws, version, events):
            mine = ws == one.ws
            await (super().apply if mine else TaskTimeline().apply)(connection, ws, version, events)

    engine = ProjectionEngine(log.database, reader, [OnlyOne(bad)])
    await engine.prepare()
    engine.mark(one.ws)
    engine.mark(other.ws)
    await engine.catch_up()

    stopped = await engine.freshness(one.ws, "task_timeline")
    assert stopped.checkpoint.offset == bad - 1
    assert "cannot be folded" in stopped.failure
    assert "headway projections rebuild" in caplog.text
    assert (await counts_of(log, one.ws, runs[0])).completed == 8, "what came before is shown"
    assert (await counts_of(log, other.ws, runs[1])).completed == 10
    assert not await engine.wait_until(one.ws, "task_timeline", stopped.head, seconds=0.05)

    await caught_up(make_engine(log), one.ws)
    mended = await engine.freshness(one.ws, "task_timeline")
    assert (mended.failure, mended.behind) == ("", 0)
    assert (await counts_of(log, one.ws, runs[0])).completed == 10


async def log_end(log, fleet) -> Cursor:
    async with log.database.transaction(Role.APP, ws=fleet.ws) as connection:
        return (await checkpoints.freshness(connection, fleet.ws, "task_timeline")).head


async def test_unknown_types_are_counted_and_skipped(log, fleet):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 2)])

    class Newer(Reader):
        async def read(self, ws, after, limit=500, streams=None):
            events = await super().read(ws, after, limit, streams)
            return [
                replace(e, type="CallDreamt") if e.type == "AttemptStarted" else e for e in events
            ]

    engine = make_engine(log, reader=Newer(log.database, role=Role.PROJECTOR))
    await engine.prepare()
    await caught_up(engine, fleet.ws)
    assert (await engine.freshness(fleet.ws, "task_timeline")).unknown_events == 1
    assert (await counts_of(log, fleet.ws, run)).completed == 2


async def test_another_history_of_the_log_is_folded_anew(engine, log, fleet, database):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 5)])
    await caught_up(engine, fleet.ws)
    with database.connect() as connection:
        connection.execute("UPDATE workspace_head SET epoch = epoch + 1")
    await caught_up(engine, fleet.ws)
    fresh = await engine.freshness(fleet.ws, "task_timeline")
    assert fresh.checkpoint == fresh.head
    assert (await counts_of(log, fleet.ws, run)).completed == 5


async def test_groups_and_bins_fold_large_runs(engine, log, fleet):
    run = await fleet.granted_run()
    failed = attempt_pb2.CALL_OUTCOME_FAILED
    at = 1_700_000_000_000_000
    batch = [
        fact(
            attempt_pb2.CallEnded(
                call=n.to_bytes(16), name="score", kind=1, started_at_us=at + n * 1000, tries=1,
                outcome=failed if n == 50 else attempt_pb2.CALL_OUTCOME_COMPLETED,
            ),
            at + n * 1000 + 5000,
        )
        for n in range(100)
    ]  # fmt: skip
    await fleet.report(run, 1, 1, [started(), *batch])
    await caught_up(engine, fleet.ws)
    async with log.database.transaction(Role.APP, ws=fleet.ws) as connection:
        everything = await tasks.page(connection, fleet.ws, run, 1, limit=100)
        first, last = everything.items[0].started_at, everything.items[-1].ended_at
        found = await tasks.groups(connection, fleet.ws, run, 1, now=last)
        [group] = found.shown
        [columns] = await tasks.bins(
            connection, fleet.ws, run, 1, found.shown, start=first, end=last, columns=10
        )
    assert (group.total, group.failed, group.completed, found.total) == (100, 1, 99, 1)
    assert group.longest.total_seconds() == pytest.approx(0.005)
    assert sum(each.began for each in columns) == sum(each.ended for each in columns) == 100
    assert sum(each.failed for each in columns) == 1
    assert [each.column for each in columns] == list(range(10))


async def test_calls_that_were_kept_say_nothing_of_how_long_one_takes(engine, log, fleet):
    run = await fleet.granted_run()
    at = 1_700_000_000_000_000
    keys = [n.to_bytes(16) for n in range(1, 101)]
    kept = attempt_pb2.CallsEnded(
        calls=b"".join(keys), name="load", kind=1, started_deltas_us=[0] * 100, durations_us=[0] * 100,
        outcome=attempt_pb2.CALL_OUTCOME_SKIPPED,
    )  # fmt: skip
    new = attempt_pb2.CallEnded(
        call=b"n" * 16, name="load", kind=1, started_at_us=at, tries=1,
        outcome=attempt_pb2.CALL_OUTCOME_COMPLETED,
    )  # fmt: skip
    await fleet.report(run, 1, 1, [started(), fact(kept, at), fact(new, at + 7000)])
    await caught_up(engine, fleet.ws)
    now = SystemClock().now()
    async with log.database.transaction(Role.APP, ws=fleet.ws) as connection:
        [group] = (await tasks.groups(connection, fleet.ws, run, 1, now=now)).shown
        page = await tasks.page(connection, fleet.ws, run, 1)
    took = timedelta(milliseconds=7)
    assert (group.skipped, group.median, group.longest) == (100, took, took)
    assert [(each.status, each.median) for each in page.items] == [
        ("skipped", None),
        ("completed", None),
    ]


async def test_values_that_the_database_refuses_stop_there_and_not_the_process(log, fleet):
    run = await fleet.granted_run()
    await fleet.report(run, 1, 1, [started(), *calls(1, 20)])
    bad = (await log_end(log, fleet)).offset - 5

    class Refused(TaskTimeline):
        async def apply(self, connection, ws, version, events):
            await super().apply(connection, ws, version, events)
            if any(event.cursor.offset == bad for event in events):
                await connection.execute("SELECT 'x'::integer")

    engine = ProjectionEngine(log.database, Reader(log.database, role=Role.PROJECTOR), [Refused()])
    await engine.prepare()
    await caught_up(engine, fleet.ws)
    stopped = await engine.freshness(fleet.ws, "task_timeline")
    assert stopped.checkpoint.offset == bad - 1
    assert f"offset {bad}" in stopped.failure
