"""What a flow may ask about its run comes with each Assign: its tags, when it was to begin, its page, its flow's version."""

import json
from datetime import timedelta

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.packed import to_us
from support.fake_agent import exited, started, starting
from support.replica import fast_settings, new_world, open_replica

pytestmark = pytest.mark.postgres


async def test_a_second_attempt_is_told_the_same_as_the_first(database) -> None:
    settings = fast_settings(pages="https://headway.example/")
    async with open_replica(database.url, settings) as replica, new_world(replica) as world:
        agent = await world.agent()
        await agent.connect()
        (due_at,) = await world.row("SELECT headway_now()")
        due_at -= timedelta(hours=1)
        labels = Blob.of(json.dumps({"name": "a run", "tags": ["x", "y"]}).encode())
        run = await world.create_run(due_at=due_at, labels=labels)
        first = await agent.assigned(run)
        failed = exited(attempt_pb2.ATTEMPT_OUTCOME_CRASHED, cause="signal", signal=9)
        await agent.report(run, 1, 1, [starting(), started(), failed])
        second = await agent.assigned(run, fence=2)
        (moved_to,) = await world.row("SELECT due_at FROM run WHERE run = %s", run)
        assert moved_to > due_at
        for assign in (first, second):
            assert list(assign.tags) == ["x", "y"]
            assert assign.due_at_us == to_us(due_at)
            assert assign.run_url == f"https://headway.example/runs/{run}"
            assert assign.flow_version == world.spec.flow_version


async def test_without_an_address_no_page_is_named(database) -> None:
    async with open_replica(database.url) as replica, new_world(replica) as world:
        agent = await world.agent()
        await agent.connect()
        assign = await agent.assigned(await world.create_run())
        assert (assign.run_url, list(assign.tags)) == ("", [])
        assert assign.due_at_us > 0
