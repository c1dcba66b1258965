"""Connections that are lost around COMMIT, and a database that goes away."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from headway_control_plane.application.ports import Dedupe, Unavailable
from headway_control_plane.application.ports import FactsVerdict as V
from headway_control_plane.db.roles import Role
from headway_control_plane.log.invariants import check
from headway_control_plane.log.reader import Reader
from headway_control_plane.log.waiting_line import Limits
from support.commit_cutter import commit_cutter
from support.log_fixtures import ALL_ROLES, calls, exited, new_fleet, open_log, started

pytestmark = pytest.mark.postgres


@pytest.fixture
async def cut_log(database):
    # A socket's path has room for some hundred bytes only.
    with tempfile.TemporaryDirectory(prefix="hw") as folder:
        async with commit_cutter(database.url, Path(folder)) as (cutter, url):
            limits = Limits(patience=timedelta(seconds=1))
            async with open_log(url, limits=limits, lanes=1, acquire_timeout=3.0) as log:
                yield cutter, log


@pytest.mark.parametrize("side", ["before", "after"])
async def test_an_unknown_commit_is_found_out_and_nothing_is_doubled(
    cut_log, database, side, monkeypatch
):
    """Commands that are not repeatable by themselves, facts and a keyed command share the flush that is cut."""
    cutter, log = cut_log
    fleet = await new_fleet(log)
    run, granted = await fleet.create_run(), await fleet.granted_run()
    session = fleet.session
    notices, unknown = [], []
    log.on_commit(notices.append)
    (lane,) = log._lanes
    happened = lane._happened

    async def finding_out(outcome):
        unknown.append(await happened(outcome))
        return unknown[-1]

    monkeypatch.setattr(lane, "_happened", finding_out)
    await until_only_the_lane_is_at_work(log)
    cutter.cut = side
    new = fleet.new_id()
    dedupe = Dedupe("key", b"request", {"id": str(new)})
    _, verdict, created = await asyncio.gather(
        fleet.grant(run, session),
        fleet.report(granted, 1, 1, [started(), *calls(1, 3), exited()]),
        fleet.execute(fleet.create_command(new), dedupe=dedupe),
    )
    assert cutter.cuts == 1, "the fault happened"
    assert unknown == [side == "after"], "and it was found out"
    assert (verdict.verdict, verdict.last_seq) == (V.OK, 5)
    assert (created.repeated, created.response, len(created.decided)) == (
        False,
        {"id": str(new)},
        1,
    )
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM run WHERE fence = 1").fetchone() == (2,)
        types = connection.execute("SELECT type, count(*) FROM event GROUP BY type").fetchall()
    assert dict(types) | {"RunGranted": 2, "RunCreated": 3, "CallEnded": 3} == dict(types)
    decided = [type(one.event).__name__ for notice in notices for one in notice.decided]
    assert sorted(decided) == ["RunCompleted", "RunCreated", "RunGranted", "RunStarted"]
    assert await check(log.database, Reader(log.database), fleet.ws, fleet.workspace.id) == []


async def test_mutation_ack_before_commit(cut_log, database):
    """No answer and no notice as long as nobody knows whether the flush was committed."""
    cutter, log = cut_log
    fleet = await new_fleet(log)
    run = await fleet.granted_run()
    notices = []
    log.on_commit(notices.append)
    await until_only_the_lane_is_at_work(log)
    cutter.stay_away = True
    cutter.cut = "before"
    reporting = asyncio.ensure_future(fleet.report(run, 1, 1, calls(1, 3)))
    async with asyncio.timeout(10):
        while not cutter.cuts:
            await asyncio.sleep(0.01)
    # COMMIT was sent and lost, and nobody can be asked.
    done, _ = await asyncio.wait([reporting], timeout=0.3)
    assert not done
    assert notices == []
    with database.connect() as connection:
        stored = connection.execute("SELECT count(*) FROM event WHERE stream_kind = 7").fetchone()
    assert stored == (0,)
    cutter.come_back()
    verdict = await reporting
    assert (verdict.verdict, verdict.last_seq) == (V.OK, 3)
    assert len(notices) == 1


async def test_an_item_whose_outcome_is_known_is_told_to_try_again(cut_log):
    """What was never sent is answered Unavailable; it is not left hanging."""
    cutter, log = cut_log
    fleet = await new_fleet(log)
    cutter.go_away()
    with pytest.raises(Unavailable) as unavailable:
        await fleet.create_run()
    assert unavailable.value.retry_after == timedelta(seconds=1)
    cutter.come_back()
    async with asyncio.timeout(20):
        while True:
            try:
                await fleet.create_run()
                break
            except Unavailable as unavailable:
                await asyncio.sleep(unavailable.retry_after.total_seconds() / 10)


async def test_a_killed_backend_costs_nothing(log, fleet, database):
    with database.connect() as connection:
        killed = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = 'headway committer' AND datname = current_database()"
        ).fetchone()
    assert killed > (0,)
    await fleet.granted_run()
    assert await check(log.database, Reader(log.database), fleet.ws, fleet.workspace.id) == []


async def until_only_the_lane_is_at_work(log) -> None:
    """Pools tidy returned connections in the background, with a COMMIT of their own: that one is not to be cut."""
    async with asyncio.timeout(10):
        for role in ALL_ROLES:
            taken = 1 if role is Role.COMMITTER else 0
            while True:
                stats = log.database.pool(role).get_stats()
                if stats["pool_available"] == stats["pool_size"] - taken:
                    break
                await asyncio.sleep(0.01)
