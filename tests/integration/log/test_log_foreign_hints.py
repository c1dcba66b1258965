"""Anybody may notify on a channel of the database: what is no hint of ours ends nothing."""

import asyncio

import pytest

from headway_control_plane.log.hints import CHANNEL, NotifyHints
from support.log_fixtures import new_ids, open_log

pytestmark = pytest.mark.postgres


async def test_what_is_no_hint_is_passed_over(fleet, log, database):
    async with (
        open_log(database.url) as other,
        NotifyHints(log.database, log, replica=new_ids()()),
        NotifyHints(other.database, other, replica=new_ids()()) as theirs,
    ):
        heard = asyncio.Queue()
        theirs.on_hint(heard.put_nowait)
        await asyncio.wait_for(theirs.heard.wait(), 10)
        with database.connect() as connection:
            for payload in ("", "nonsense", "a b,c", "a 1,", "a \u0661"):
                connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])
        await fleet.create_run()
        assert await asyncio.wait_for(heard.get(), 10) == fleet.workspace.shard
