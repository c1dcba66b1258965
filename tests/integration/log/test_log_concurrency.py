"""Many writers, several replicas, and what the head lock is for."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from headway_control_plane.application.ports import FactsVerdict as V
from headway_control_plane.application.ports import Unavailable
from headway_control_plane.domain.commands import LoseAttempt
from headway_control_plane.domain.errors import Refused
from headway_control_plane.log import flush
from headway_control_plane.log.invariants import check
from headway_control_plane.log.reader import Reader
from headway_control_plane.log.waiting_line import Limits
from support.log_fixtures import Fleet, calls, new_fleet, new_ids, open_log

pytestmark = pytest.mark.postgres


async def holds(log, fleet, acknowledged=()):
    reader = Reader(log.database)
    return await check(
        log.database, reader, fleet.ws, fleet.workspace.id, acknowledged=acknowledged
    )


async def test_gapless_under_sixteen_writers_over_several_workspaces(log):
    fleets = [await new_fleet(log) for _ in range(3)]
    acknowledged = {fleet.ws: [] for fleet in fleets}

    async def write(n: int) -> None:
        fleet = fleets[n % len(fleets)]
        run = await fleet.granted_run()
        seq = 1
        for count in (1, 7, 30, 2, 60):
            verdict = await fleet.report(run, 1, seq, calls(seq, count))
            assert (verdict.verdict, verdict.last_seq) == (V.OK, seq + count - 1)
            acknowledged[fleet.ws] += [(run, 1, at) for at in range(seq, seq + count)]
            seq += count

    await asyncio.gather(*(write(n) for n in range(16)))
    for fleet in fleets:
        assert await holds(log, fleet, acknowledged[fleet.ws]) == []


async def test_two_replicas_append_to_one_workspace(log, fleet, database):
    async with open_log(database.url) as other_log:
        other = Fleet(other_log, fleet.workspace, new_ids())
        for name in ("pool", "deployment", "agent", "session"):
            setattr(other, name, getattr(fleet, name))
        runs = [await fleet.granted_run() for _ in range(4)]
        acknowledged = []

        async def write(replica: Fleet, run) -> None:
            """Both send the same facts of the same attempt, as after a reconnect whose old stream still drains."""
            for seq in range(1, 60, 3):
                verdict = await replica.report(run, 1, seq, calls(seq, 3))
                assert verdict.verdict in {V.OK, V.GAP}
                if verdict.verdict is V.OK:
                    acknowledged.extend((run, 1, at) for at in range(seq, seq + 3))

        await asyncio.gather(*(write(replica, run) for replica in (fleet, other) for run in runs))
    assert await holds(log, fleet, acknowledged) == []


async def test_a_run_is_granted_once_however_many_replicas_try(log, fleet, database):
    async with open_log(database.url) as other_log:
        other = Fleet(other_log, fleet.workspace, new_ids())
        for name in ("pool", "deployment", "agent", "session"):
            setattr(other, name, getattr(fleet, name))
        sessions = [await fleet.open_session() for _ in range(2)]
        runs = [await fleet.create_run() for _ in range(10)]
        results = await asyncio.gather(
            *(
                replica.grant(run, session)
                for run in runs
                for replica, session in zip((fleet, other), sessions, strict=True)
            ),
            return_exceptions=True,
        )
    assert [isinstance(result, Refused) for result in results].count(True) == len(runs)
    assert await holds(log, fleet) == []


class Gate:
    """Holds back the writes of one flush of one replica until a test lets them go. Works across event loops."""

    def __init__(self, monkeypatch) -> None:
        self.reached, self.released = threading.Event(), threading.Event()
        self.armed = False
        original = flush.Flusher._commit

        async def commit(flusher, *arguments):
            if self.armed:
                self.armed = False
                self.reached.set()
                await asyncio.to_thread(self.released.wait, 30)
            return await original(flusher, *arguments)

        monkeypatch.setattr(flush.Flusher, "_commit", commit)


async def test_mutation_merge_the_head_lock_into_the_insert(log, fleet, database, monkeypatch):
    """A second writer that waits for the first must see what the first wrote.

    Its statements behind the lock have snapshots of their own. Were the guards read in the locking statement, or before
    it, the same facts would be appended twice. The unique index, the second wall, is taken down for this.
    """
    with database.connect() as connection:
        connection.execute("DROP INDEX event_stream")
    run = await fleet.granted_run()
    async with race(log, fleet, database, monkeypatch) as (first, second):
        first(fleet.report(run, 1, 1, calls(1, 3)))
        second(lambda other: other.report(run, 1, 1, calls(1, 3)))
    verdict, duplicate = first.result, second.result
    assert (verdict.verdict, duplicate.verdict, duplicate.last_seq) == (V.OK, V.OK, 3)
    with database.connect() as connection:
        count = connection.execute("SELECT count(*) FROM event WHERE stream_kind = 7").fetchone()
    assert count == (3,)
    assert await holds(log, fleet) == []


async def test_mutation_read_the_fence_before_the_lock(log, fleet, database, monkeypatch):
    """A stale writer that waited behind the loss of its attempt does not get in."""
    run = await fleet.granted_run()
    async with race(log, fleet, database, monkeypatch) as (first, second):
        first(fleet.execute(LoseAttempt(run, 1)))
        second(lambda other: other.report(run, 1, 1, calls(1, 1)))
    assert second.result.verdict is V.FENCED
    assert await holds(log, fleet) == []


class Racer:
    """One side of a race, with its result once the race is over."""

    task: asyncio.Future

    def __call__(self, work) -> None:
        self.work = work

    @property
    def result(self):
        return self.task.result()


@asynccontextmanager
async def race(log, fleet, database, monkeypatch):
    """Run what the body hands to `first` until it holds the head lock and has written nothing; then `second`, on another replica, until it waits; then both to their ends."""
    gate = Gate(monkeypatch)
    first, second = Racer(), Racer()
    async with open_log(database.url) as other_log:
        other = Fleet(other_log, fleet.workspace, new_ids())
        other.agent = fleet.agent
        yield first, second
        gate.armed = True
        first.task = asyncio.ensure_future(first.work)
        await asyncio.to_thread(gate.reached.wait, 30)
        second.task = asyncio.ensure_future(second.work(other))
        await until_someone_waits_for_a_lock(database)
        gate.released.set()
        await asyncio.gather(first.task, second.task)


async def test_time_is_taken_after_the_locks(log, fleet, database, monkeypatch):
    """A flush that waited records a later time than the one it waited for."""
    gate = Gate(monkeypatch)
    async with open_log(database.url) as other_log:
        other = Fleet(other_log, fleet.workspace, new_ids())
        other.deployment = fleet.deployment
        gate.armed = True
        first = asyncio.ensure_future(fleet.create_run())
        await asyncio.to_thread(gate.reached.wait, 30)
        second = asyncio.ensure_future(other.create_run())
        await until_someone_waits_for_a_lock(database)
        with database.connect() as connection:
            waited_at = connection.execute("SELECT headway_now()").fetchone()[0]
        gate.released.set()
        await first
        run = await second
    with database.connect() as connection:
        created = connection.execute("SELECT created_at FROM run WHERE run = %s", [run]).fetchone()
    assert created[0] > waited_at


async def test_natural_batching_gathers_what_waits(log, fleet, database, monkeypatch):
    """While one flush is under way, everything else gathers for the next one: two transactions for 101 commands."""
    gate = Gate(monkeypatch)
    flushes = []
    settle = log._settle
    for lane in log._lanes:
        monkeypatch.setattr(lane, "_settled", lambda f: (flushes.append(f.events), settle(f)))
    gate.armed = True
    first = asyncio.ensure_future(fleet.create_run())
    await asyncio.to_thread(gate.reached.wait, 30)
    rest = [asyncio.ensure_future(fleet.create_run()) for _ in range(100)]
    await asyncio.sleep(0)  # let them all take their place
    gate.released.set()
    await asyncio.gather(first, *rest)
    assert flushes == [1, 100]


async def test_a_full_line_holds_callers_back_and_then_turns_them_away(database, monkeypatch):
    from datetime import timedelta

    gate = Gate(monkeypatch)
    limits = Limits(waiting_events=10, patience=timedelta(seconds=0.2))
    async with open_log(database.url, limits=limits) as log:
        fleet = await new_fleet(log)
        gate.armed = True
        tasks = [asyncio.ensure_future(fleet.create_run())]
        await asyncio.to_thread(gate.reached.wait, 30)
        tasks += [asyncio.ensure_future(fleet.create_run()) for _ in range(10)]
        done, waiting = await asyncio.wait(tasks, timeout=5, return_when=asyncio.ALL_COMPLETED)
        turned_away = [task for task in done if isinstance(task.exception(), Unavailable)]
        assert len(turned_away) == 5, "five commands of two events fill the line"
        gate.released.set()
        await asyncio.gather(*waiting)


async def test_stopping_writes_what_waits(database, monkeypatch):
    gate = Gate(monkeypatch)
    async with open_log(database.url) as log:
        fleet = await new_fleet(log)
        gate.armed = True
        tasks = [asyncio.ensure_future(fleet.create_run())]
        await asyncio.to_thread(gate.reached.wait, 30)
        tasks += [asyncio.ensure_future(fleet.create_run()) for _ in range(5)]
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(log.stop())
        await asyncio.sleep(0)
        gate.released.set()
        await stopping
        assert len(await asyncio.gather(*tasks)) == 6
        with pytest.raises(Unavailable):
            await fleet.create_run()


async def until_someone_waits_for_a_lock(database) -> None:
    async with asyncio.timeout(10):
        while True:
            with database.connect() as connection:
                waiting = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
                ).fetchone()
            if waiting != (0,):
                return
            await asyncio.sleep(0.01)


async def test_what_a_commit_brings_about_is_flushed_with_what_waits_already(log, fleet):
    """As the grant of a slot that became free: it takes some turns of the event loop, and does not miss the next flush for it."""
    reactions = []

    def create():
        return fleet.execute(fleet.create_command(fleet.new_id()))

    async def react(turns: int):
        for _ in range(turns):
            await asyncio.sleep(0)
        return (await create()).recorded_at

    def on_commit(notice):
        if not reactions:
            reactions.extend(asyncio.ensure_future(react(turns)) for turns in (0, 4))

    forget = log.on_commit(on_commit)
    first = (await create()).recorded_at
    at_once, later = await asyncio.gather(*reactions)
    forget()
    assert first < at_once == later
