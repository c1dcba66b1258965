"""Output that could not be stored: an agent waits for its answer as long as the stream lasts, so the stream ends."""

import grpc
import psycopg
import pytest

from support.fake_agent import StreamEnded, starting
from support.replica import new_world, open_replica

pytestmark = pytest.mark.postgres


async def test_lines_that_meet_an_outage_end_the_stream_and_are_sent_again(database) -> None:
    async with open_replica(database.url) as replica, new_world(replica) as world:
        agent = await world.agent()
        await agent.connect(renew_every=0.2)
        run = await world.create_run()
        await agent.assigned(run)
        await agent.report(run, 1, 1, [starting()])
        async with await psycopg.AsyncConnection.connect(database.url) as other:
            await other.execute("SELECT 1 FROM headway.attempt WHERE run = %s FOR UPDATE", [run])
            with pytest.raises(StreamEnded) as ended:
                await agent.write_lines(run, 1, 1, 1)
        assert ended.value.code is grpc.StatusCode.UNAVAILABLE
        assert int(ended.value.metadata["x-headway-retry-after-ms"]) > 0
        assert "lock" not in str(ended.value)
        await agent.cut()
        welcome = await agent.connect((run, 1, 1, True), renew_every=0.2)
        assert [(a.last_seq, a.last_line) for a in welcome.attempts] == [(1, 0)]
        assert (await agent.write_lines(run, 1, 1, 1)).last_line == 1
