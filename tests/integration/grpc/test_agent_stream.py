"""Agents over a real socket, a real log and a real database: the life of sessions and runs."""

from collections.abc import AsyncIterator

import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from support.fake_agent import exited, started, starting
from support.replica import Replica, World, new_world, open_replica

pytestmark = pytest.mark.postgres


@pytest.fixture
async def replica(database) -> AsyncIterator[Replica]:
    async with open_replica(database.url) as replica:
        yield replica


@pytest.fixture
async def world(replica: Replica) -> AsyncIterator[World]:
    async with new_world(replica) as world:
        yield world


async def test_a_run_from_its_creation_to_its_end(world: World) -> None:
    agent = await world.agent()
    welcome = await agent.connect()
    assert (welcome.protocol, welcome.resumed, welcome.ttl_ms) == (1, False, 1000)
    run = await world.create_run()
    assign = await agent.assigned(run)
    assert assign.attempt.fence == 1
    assert assign.parameters == b'{"n": 1}'
    assert (assign.deployment, assign.flow, assign.run_name) == ("inventory", "inventory", "a run")
    assert (assign.environment, assign.entrypoint) == ("default", "flows:inventory")
    ack = await agent.report(run, 1, 1, [starting(), started()])
    assert (ack.verdict, ack.last_seq) == (pb.VERDICT_OK, 2)
    await world.until_status(run, "running")
    await agent.report(run, 1, 3, [exited()])
    assert await world.status(run) == "completed"
    forget = await agent.wait_for("forget")
    assert forget.run == run.bytes
