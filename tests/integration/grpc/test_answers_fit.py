"""A run with more answers than a message may hold gets them all: those beyond a bound follow its Assign."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.event.v1 import attempt_pb2
from headway_control_plane.db import asked_runs
from headway_control_plane.domain.commands import AnswerRun
from headway_control_plane.domain.streams import Blob
from headway_control_plane.grpc_api.settings import MEBIBYTE, Limits
from support.fake_agent import FakeAgent, exited, started, starting
from support.replica import Replica, World, fast_settings, new_world, open_replica

pytestmark = pytest.mark.postgres

CALLS = [bytes([n]) * 16 for n in range(1, 25)]
MOST = 256 * 1024
LIMIT = Limits().message_bytes


@pytest.fixture
async def replica(database) -> AsyncIterator[Replica]:
    async with open_replica(database.url) as replica:
        yield replica


@pytest.fixture
async def world(replica: Replica) -> AsyncIterator[World]:
    async with new_world(replica) as world:
        yield world


def value(call: bytes) -> bytes:
    return b'"' + call.hex().encode() * (MOST // 32 - 1) + b'"'


async def answered(world: World, agent: FakeAgent) -> UUID:
    """A run that is suspended on all these calls, and answered, while its agent is away: the last ones wait until a time."""
    run = await world.create_run()
    await agent.assigned(run)
    waits = [
        attempt_pb2.Wait(call=call, kind="input", until_us=4 * 10**15 if n >= 20 else 0)
        for n, call in enumerate(CALLS)
    ]
    end = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=waits)
    await agent.report(run, 1, 1, [starting(), started(), end])
    await world.until_status(run, "paused")
    await agent.cut()
    for call in CALLS:
        await world.execute(AnswerRun(run, call, Blob.of(value(call))))
    return run


async def brought(agent: FakeAgent, run: UUID) -> tuple[pb.Assign, dict[bytes, bytes]]:
    """The Assign, and all answers that come with it and behind it."""
    assign = await agent.assigned(run, fence=2)
    given = {answer.call: answer.value for answer in assign.answers}
    for number in range(assign.answers_follow):
        wanted = number + 1
        await agent.wait_for("answer", lambda _, least=wanted: len(agent.heard("answer")) >= least)
    given |= {told.answer.call: told.answer.value for told in agent.heard("answer")}
    return assign, given


async def test_six_mebibytes_of_answers_reach_an_attempt(world: World) -> None:
    """As one message they would have ended the stream, and each stream after it."""
    agent = await world.agent()
    await agent.connect()
    run = await answered(world, agent)
    again = world.again(agent)
    await again.connect()
    async with again:
        assign, given = await brought(again, run)
        assert given == {call: value(call) for call in CALLS}
        assert assign.ByteSize() < 1.1 * MEBIBYTE
        assert (len(assign.answers), assign.answers_follow) == (4, 20)
        # Behind a time that is up an agent from before would take them for missing.
        assert [answer.call for answer in assign.answers] == CALLS[20:]
        await again.renew()
        assert again.ended is None
        await again.report(run, 2, 1, [starting(), started(), exited()])
        await world.until_status(run, "completed")


async def test_a_stream_that_ends_between_them_brings_them_again(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await answered(world, agent)
    again = world.again(agent)
    await again.connect()
    async with again:
        await again.assigned(run, fence=2)
        await again.cut()
        await again.connect()
        _, given = await brought(again, run)
        assert given.keys() == set(CALLS)


async def test_few_answers_stand_in_the_assign(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    async with agent:
        run = await world.create_run()
        await agent.assigned(run)
        wait = attempt_pb2.Wait(call=CALLS[0], kind="input")
        end = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=[wait])
        await agent.report(run, 1, 1, [starting(), started(), end])
        await world.execute(AnswerRun(run, CALLS[0], Blob.of(b"7")))
        assign = await agent.assigned(run, fence=2)
        assert [(a.call, a.value) for a in assign.answers] == [(CALLS[0], b"7")]
        assert assign.answers_follow == 0


_WISHES = """
INSERT INTO child_run (ws, parent, run, call, parameters, labels, shard, deployment, requested_at, has_parameters, waited, outlives, settled)
SELECT ws, run, md5('child' || n)::uuid, sha256(n::text::bytea), sha256(n::text::bytea), '', shard, 'd', created_at + n * interval '1 ms', true, true, false,
  true FROM run, generate_series(1, %s) AS n WHERE run = %s
"""


@pytest.mark.parametrize("more", [0, 1])
async def test_more_runs_than_can_be_told_are_said_to_be_more(database, more: int) -> None:
    """The message of the most fits with all that may stand beside them."""
    async with open_replica(database.url, fast_settings()) as replica, new_world(replica) as world:
        agent = await world.agent()
        await agent.connect()
        run = await world.create_run()
        await agent.assigned(run)
        await agent.report(run, 1, 1, [starting(), started()])
        with database.connect() as connection:
            connection.execute(_WISHES, [asked_runs.MOST_ASKED + more, run])
        await agent.cut()
        forgetful = world.again(agent)
        await forgetful.connect()
        async with forgetful:
            assign = await forgetful.assigned(run, fence=2)
            assert len(assign.asked_runs) == asked_runs.MOST_ASKED
            assert assign.asked_runs_cut == bool(more)
            assert assign.ByteSize() + MEBIBYTE + 2 * MOST < LIMIT
