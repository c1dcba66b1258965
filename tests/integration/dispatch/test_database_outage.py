"""The database goes away and comes back: nothing ends but the streams' patience."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

import psycopg
import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.application.ports import Unavailable
from headway_control_plane.domain.commands import CreateRun
from support.fake_agent import exited, started, starting
from support.replica import Replica, World, new_world, open_replica, until_async

pytestmark = pytest.mark.postgres


@pytest.fixture
async def replica(database) -> AsyncIterator[Replica]:
    async with open_replica(database.url) as replica:
        yield replica


async def cut_all_connections(replica: Replica) -> None:
    async with await psycopg.AsyncConnection.connect(replica.url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def accept(world: World, command: CreateRun) -> None:
    """As a client does: again until it is known to be accepted."""
    while True:
        with suppress(Unavailable):
            await world.execute(command)
            return
        await asyncio.sleep(0.02)


async def report(agent, run: UUID, fence: int) -> None:
    """As an agent does: again until it is acknowledged."""
    verdict = pb.VERDICT_RETRY
    while verdict == pb.VERDICT_RETRY:
        ack = await agent.report(run, fence, 1, [starting(), started(), exited()])
        verdict = ack.verdict
    assert verdict == pb.VERDICT_OK


async def test_runs_are_given_and_ended_across_cut_connections(replica: Replica) -> None:
    async with new_world(replica) as world:
        agent = await world.agent(slots=3)
        await agent.connect(renew_every=0.2)
        base = await world.create_run()
        assign = await agent.assigned(base)
        await report(agent, base, assign.attempt.fence)
        for _ in range(3):
            await cut_all_connections(replica)
            run = replica.ids()
            template = world.create_command(run)
            await accept(world, template)
            assign = await agent.assigned(run)
            await report(agent, run, assign.attempt.fence)

            async def completed(run: UUID = run) -> bool:
                with suppress(psycopg.OperationalError):
                    return await world.status(run) == "completed"
                return False

            await until_async(completed, what="the end of the run")
        assert agent.ended is None
        assert all(service.running for service in replica.parts.supervisor.services)
