"""What a flow may ask about its run comes with each Assign: its tags, when it was to begin, its page, its flow's version."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.event.v1 import attempt_pb2
from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.packed import to_us
from support.fake_agent import exited, fact, started, starting
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
        (actor,) = await world.row(
            "SELECT actor FROM event WHERE stream_id = %s AND type = 'RunCreated'", run
        )
        assert actor
        (moved_to,) = await world.row("SELECT due_at FROM run WHERE run = %s", run)
        assert moved_to > due_at
        for assign in (first, second):
            assert list(assign.tags) == ["x", "y"]
            assert assign.due_at_us == to_us(due_at)
            assert assign.run_url == f"https://headway.example/runs/{run}"
            assert assign.flow_version == world.spec.flow_version
            assert assign.started_by == actor


async def test_without_an_address_no_page_is_named(database) -> None:
    async with open_replica(database.url) as replica, new_world(replica) as world:
        agent = await world.agent()
        await agent.connect()
        assign = await agent.assigned(await world.create_run())
        assert (assign.run_url, list(assign.tags)) == ("", [])
        assert assign.due_at_us > 0


async def test_after_a_lost_attempt_an_agent_is_told_what_was_heard(database) -> None:
    """What the lost attempt told last may have come too late: its journal is no proof that a run which it asked for is known."""
    async with open_replica(database.url) as replica, new_world(replica) as world:
        agent = await world.agent()
        await agent.connect()
        run, child, late = await world.create_run(), uuid4(), uuid4()
        assert not (await agent.assigned(run)).unheard
        await agent.report(run, 1, 1, [starting(), started(), requested(child, b"a" * 16)])
        await agent.cut()
        forgetful = world.again(agent)
        await forgetful.connect()
        assign = await forgetful.assigned(run, fence=2)
        assert assign.unheard
        assert [asked.run for asked in assign.asked_runs] == [child.bytes]
        await forgetful.report(run, 2, 1, [starting(), started(), requested(late, b"b" * 16)])
        rows = await world.rows("SELECT run FROM child_run WHERE parent = %s", run)
        assert {row[0] for row in rows} == {child, late}


def requested(run: UUID, call: bytes) -> pb.Fact:
    return fact(
        attempt_pb2.RunRequested(call=call, deployment="nobody", run=run.bytes, waited=True)
    )
