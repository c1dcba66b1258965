"""A run that is created after a variable was set gets it, whichever replica took the word and whichever holds the agent's stream."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from headway_control_plane.application.variables import set_variable, unset_variable
from support.fake_agent import FakeAgent
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


@asynccontextmanager
async def connected(
    world: World, replica: Replica | None = None, *, slots: int = 4
) -> AsyncIterator[FakeAgent]:
    agent = await world.agent(replica=replica, slots=slots)
    await agent.connect()
    async with agent:
        yield agent


def known_at(agent: FakeAgent, run: UUID) -> dict[str, object] | None:
    """The variables that stood on the stream when the run was assigned; None: not a word of them."""
    known = None
    for message in agent.inbox:
        if message.HasField("variables"):
            known = {each.name: json.loads(each.value) for each in message.variables.entries}
        if message.HasField("assign") and message.assign.attempt.run == run.bytes:
            return known
    raise AssertionError("the run was not assigned")


async def put(replica: Replica, ws: int, **values: object) -> None:
    for name, value in values.items():
        await set_variable(replica.log, ws, actor="test", name=name, value=value)


async def test_no_word_of_variables_where_there_are_none(world: World) -> None:
    async with connected(world) as agent:
        run = await world.create_run()
        await agent.assigned(run)
        assert known_at(agent, run) is None


async def test_they_come_ahead_of_a_grant_once_and_again_when_they_changed(
    replica: Replica, world: World
) -> None:
    await put(replica, world.ws, region="eu", limits={"rows": [1, 2]})
    async with connected(world, slots=10) as agent:
        first = await world.create_run()
        await agent.assigned(first)
        assert known_at(agent, first) == {"region": "eu", "limits": {"rows": [1, 2]}}
        second = await world.create_run()
        await agent.assigned(second)
        assert len(agent.heard("variables")) == 1
        await unset_variable(replica.log, world.ws, actor="test", name="limits")
        third = await world.create_run()
        await agent.assigned(third)
        assert known_at(agent, third) == {"region": "eu"}
        versions = [message.version for message in agent.heard("variables")]
        assert versions == sorted(set(versions))


async def test_a_new_stream_is_told_anew(replica: Replica, world: World) -> None:
    await put(replica, world.ws, region="eu")
    async with connected(world) as agent:
        await agent.complete(await agent.assigned(await world.create_run()))
        await agent.cut()
        again = world.again(agent)
        await again.connect()
        run = await world.create_run()
        await again.assigned(run)
        assert known_at(again, run) == {"region": "eu"}


async def test_what_one_replica_took_is_given_through_the_other(
    database, replica: Replica, world: World
) -> None:
    async with open_replica(database.url) as other, connected(world, other, slots=50) as agent:
        for n in range(20):
            await put(replica if n % 2 else other, world.ws, n=n)
            run = await world.create_run()
            await agent.assigned(run)
            assert known_at(agent, run) == {"n": n}


async def test_workspaces_share_no_variables(replica: Replica, world: World) -> None:
    await put(replica, world.ws, region="eu")
    async with new_world(replica, name="other team") as other, connected(other) as agent:
        run = await other.create_run()
        await agent.assigned(run)
        assert known_at(agent, run) is None


async def test_a_value_that_was_erased_is_given_to_nobody(
    database, replica: Replica, world: World
) -> None:
    await put(replica, world.ws, region="eu", plan="b")
    with database.connect() as connection:
        connection.execute(
            "DELETE FROM headway.payload WHERE ws = %s AND bytes = '\"eu\"'", (world.ws,)
        )
    async with connected(world) as agent:
        run = await world.create_run()
        await agent.assigned(run)
        assert known_at(agent, run) == {"plan": "b"}
