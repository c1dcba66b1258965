"""The answer to what an attempt asks reaches the session that holds it: once on each stream, and again on the next."""

import json
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.event.v1 import attempt_pb2
from headway_control_plane.domain.commands import AnswerRun
from headway_control_plane.domain.streams import Blob
from support.fake_agent import FakeAgent, exited, fact, ref, started, starting
from support.replica import Replica, World, new_world, open_replica, until_async

pytestmark = pytest.mark.postgres
CALL = bytes(range(16))


@pytest.fixture
async def replica(database) -> AsyncIterator[Replica]:
    async with open_replica(database.url) as replica:
        yield replica


@pytest.fixture
async def world(replica: Replica) -> AsyncIterator[World]:
    async with new_world(replica) as world:
        yield world


def asked(call: bytes = CALL) -> pb.Fact:
    wait = attempt_pb2.Wait(call=call, kind="input", name="approve")
    return fact(attempt_pb2.WaitStarted(wait=wait))


async def asking(world: World, agent: FakeAgent) -> UUID:
    run = await world.create_run()
    await agent.assigned(run)
    await agent.report(run, 1, 1, [starting(), started(), asked()])
    await until_asked(world, run)
    return run


async def until_asked(world: World, run: UUID) -> None:
    async def reached() -> bool:
        row = await world.row("SELECT reason FROM run WHERE run = %s", run)
        return tuple(row) == ("input",)

    await until_async(reached, what="the run asks")


async def answered(agent: FakeAgent) -> pb.AttemptAnswer:
    return await agent.wait_for("answer")


async def test_an_answer_reaches_the_stream_at_once_and_the_next_stream_again(
    world: World,
) -> None:
    agent = await world.agent()
    await agent.connect()
    async with agent:
        run = await asking(world, agent)
        assert await world.status(run) == "running"
        await world.execute(AnswerRun(run, CALL, Blob.of(b'{"approve":true}')))
        told = await answered(agent)
        assert (told.attempt, told.answer.call) == (ref(run, 1), CALL)
        assert json.loads(told.answer.value) == {"approve": True}
        await agent.renew()
        assert len(agent.heard("answer")) == 1
        await agent.cut()
    again = world.again(agent)
    await again.connect((run, 1, 3, True))
    async with again:
        assert await answered(again) == told
        assert again.heard("assign") == []
        await again.report(run, 1, 4, [exited()])
        await world.until_status(run, "completed")


async def test_what_was_answered_while_nobody_was_there_comes_with_the_stream(
    world: World,
) -> None:
    agent = await world.agent()
    await agent.connect()
    async with agent:
        run = await asking(world, agent)
        await agent.cut()
    await world.execute(AnswerRun(run, CALL, Blob.of(b"7")))
    again = world.again(agent)
    await again.connect((run, 1, 3, True))
    async with again:
        assert (await answered(again)).answer.value == b"7"
