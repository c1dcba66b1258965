"""Wake-ups between replicas."""

import asyncio

import pytest

from headway_control_plane.log.hints import NotifyHints
from support.log_fixtures import new_ids, open_log

pytestmark = pytest.mark.postgres


async def test_a_commit_here_is_heard_here_and_elsewhere(fleet, log, database):
    async with (
        open_log(database.url) as other,
        NotifyHints(log.database, log, replica=new_ids()()) as ours,
        NotifyHints(other.database, other, replica=new_ids()()) as theirs,
    ):
        here, there = asyncio.Queue(), asyncio.Queue()
        ours.on_hint(here.put_nowait)
        theirs.on_hint(there.put_nowait)
        await asyncio.wait_for(theirs.heard.wait(), 10)
        await fleet.create_run()
        assert here.get_nowait() == fleet.workspace.shard
        assert await asyncio.wait_for(there.get(), 10) == fleet.workspace.shard


async def test_a_burst_of_commits_is_few_notifications(fleet, log, database):
    async with (
        open_log(database.url) as other,
        NotifyHints(log.database, log, replica=new_ids()()),
        NotifyHints(other.database, other, replica=new_ids()()) as theirs,
    ):
        heard = []
        last = asyncio.Event()
        theirs.on_hint(lambda shard: (heard.append(shard), last.set()))
        await asyncio.wait_for(theirs.heard.wait(), 10)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(50):
            await fleet.create_run()
        await asyncio.wait_for(last.wait(), 10)
        # At most one each 50 ms, and one at once.
        assert 1 <= len(heard) <= (loop.time() - begun) / 0.05 + 2


async def test_hints_come_back_after_their_connections_were_lost(fleet, log, database, monkeypatch):
    monkeypatch.setattr("headway_control_plane.log.hints._RETRY_SECONDS", 0.05)
    async with (
        open_log(database.url) as other,
        NotifyHints(other.database, other, replica=new_ids()()) as theirs,
        NotifyHints(log.database, log, replica=new_ids()()),
    ):
        await asyncio.wait_for(theirs.heard.wait(), 10)
        with database.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'headway committer' AND datname = current_database()"
            )
        there = asyncio.Queue()
        theirs.on_hint(there.put_nowait)
        async with asyncio.timeout(20):
            while there.empty():
                await fleet.create_run()
                await asyncio.sleep(0.02)
