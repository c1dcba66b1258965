"""Agents that break the protocol, send garbage, never read, or come all at once. None of them may hurt another."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

import grpc
import grpc.aio
import psycopg
import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.domain.streams import Blob
from headway_control_plane.grpc_api.settings import Limits
from support.fake_agent import FakeAgent, StreamEnded, call_ended
from support.replica import (
    Replica,
    World,
    fast_settings,
    new_world,
    open_replica,
    until,
    until_async,
)

pytestmark = pytest.mark.postgres

SESSION = "/headway_api.agent.v1.AgentService/Session"


@pytest.fixture
async def replica(database) -> AsyncIterator[Replica]:
    async with open_replica(database.url) as replica:
        yield replica


@pytest.fixture
async def world(replica: Replica) -> AsyncIterator[World]:
    async with new_world(replica) as world:
        yield world


@asynccontextmanager
async def locked_head(world: World) -> AsyncIterator[None]:
    """Nothing is appended to the workspace's log meanwhile."""
    async with await psycopg.AsyncConnection.connect(world.replica.url) as connection:
        sql = "SELECT 1 FROM headway.workspace_head WHERE ws = %s FOR UPDATE"
        await connection.execute(sql, [world.ws])
        yield


async def equals(world: World, sql: str, value: int) -> bool:
    return await world.row(sql) == (value,)


def ref_run(assign: pb.Assign) -> UUID:
    return UUID(bytes=assign.attempt.run)


async def still_serves(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.complete(await agent.assigned(run))
    await world.until_status(run, "completed")
    await agent.close()


BAD_HELLOS = {
    "a session that is no id": {"session": b"short"},
    "slots below zero": {"slots": -1},
    "slots beyond measure": {"slots": 2**31 - 1},
    "a host with control characters": {"host": "a\x00b"},
    "a host without end": {"host": "h" * 1000},
    "a held run that is no id": {
        "held": [pb.HeldAttempt(attempt=pb.AttemptRef(run=b"x", fence=1))]
    },
    "a held fence of zero": {"held": [pb.HeldAttempt(attempt=pb.AttemptRef(run=bytes(16)))]},
    "a held seq beyond measure": {
        "held": [pb.HeldAttempt(attempt=pb.AttemptRef(run=bytes(16), fence=1), last_seq=2**63 - 1)]
    },
}


async def test_a_hello_that_is_malformed_ends_the_stream(world: World) -> None:
    agent = await world.agent()
    for what, change in BAD_HELLOS.items():
        with pytest.raises(StreamEnded) as refused:
            await agent.connect(**change)
        assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT, what
        await agent.cut()
    assert await world.row("SELECT count(*) FROM session") == (0,)
    await still_serves(world)


async def test_another_protocol_is_refused_by_name(world: World) -> None:
    agent = await world.agent()
    with pytest.raises(StreamEnded) as refused:
        await agent.connect(protocol=2)
    assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION


async def test_messages_out_of_turn_end_the_stream(world: World) -> None:
    agent = await world.agent()
    agent.dial()
    await agent.send(renew=pb.Renew(id=1))
    assert (await agent.until_ended()).code is grpc.StatusCode.INVALID_ARGUMENT
    await agent.cut()
    await agent.connect()
    await agent.hello()
    assert (await agent.until_ended()).code is grpc.StatusCode.INVALID_ARGUMENT
    await agent.cut()
    await agent.connect()
    await agent.send()
    assert (await agent.until_ended()).code is grpc.StatusCode.INVALID_ARGUMENT


async def test_facts_and_lines_that_are_malformed_end_the_stream(world: World) -> None:
    agent = await world.agent()
    run = bytes(16)
    good = pb.AttemptRef(run=run, fence=1)
    for message in (
        {"facts": pb.FactBatch(id=1, attempts=[pb.AttemptFacts(first_seq=1)])},
        {"facts": pb.FactBatch(id=1, attempts=[pb.AttemptFacts(attempt=good, first_seq=0)])},
        {"facts": pb.FactBatch(id=1, attempts=[pb.AttemptFacts(attempt=good, first_seq=1)] * 2)},
        {"logs": pb.LogBatch(attempt=good, first_line=1, lines=0, content=b"")},
        {"logs": pb.LogBatch(attempt=good, first_line=1, lines=1, content=b"plain text")},
        {"logs": pb.LogBatch(attempt=good, first_line=-5, lines=1, content=b"\x28\xb5\x2f\xfd")},
        {"slots": pb.Slots(slots=-1)},
    ):
        await agent.connect()
        await agent.send(**message)
        assert (await agent.until_ended()).code is grpc.StatusCode.INVALID_ARGUMENT, message
        await agent.cut()


async def test_bytes_that_are_no_message_end_the_call_alone(world: World, caplog) -> None:
    agent = await world.agent()
    async with grpc.aio.insecure_channel(world.replica.target) as channel:
        for garbage in (b"\xff" * 100, os.urandom(1000), b"\x0a\xff\xff\xff\xff\x0f"):
            metadata = (("authorization", f"Bearer {agent.identity.assertion()}"),)
            call = channel.stream_stream(SESSION)(metadata=metadata)
            # The stream may be over before the write is.
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(garbage)
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        enrol = channel.unary_unary("/headway_api.agent.v1.AgentService/Enrol")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await enrol(b"\xff" * 100)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [record for record in caplog.records if record.exc_info] == []
    await still_serves(world)


async def test_a_message_beyond_the_limit_ends_the_call_alone(world: World) -> None:
    agent = await world.agent()
    await agent.connect(renew_every=None)
    await agent.send(goodbye=pb.Goodbye(reason="x" * (5 * 1024 * 1024)))
    assert (await agent.until_ended()).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    await still_serves(world)


async def test_a_batch_beyond_its_limit_ends_the_stream(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    await agent.post(run, 1, 1, [call_ended(n) for n in range(257)])
    assert (await agent.until_ended()).code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_than_the_credit_ends_the_stream(database) -> None:
    limits = Limits(credit_facts=100)
    async with (
        open_replica(database.url, fast_settings(limits=limits)) as replica,
        new_world(replica) as world,
    ):
        agent = await world.agent()
        welcome = await agent.connect()
        assert welcome.credit_facts == 100
        run = await world.create_run()
        await agent.assigned(run)
        async with locked_head(world):
            for batch in range(3):
                await agent.post(run, 1, 1 + batch * 50, [call_ended(n) for n in range(50)])
            ended = await agent.until_ended()
        assert ended.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await agent.cut()
        await still_serves(world)


async def test_an_agent_that_never_reads_loses_its_stream(database) -> None:
    limits = Limits(outbound_messages=8)
    async with (
        open_replica(database.url, fast_settings(limits=limits)) as replica,
        new_world(replica) as world,
    ):
        agent = await world.agent(slots=40)
        await agent.connect()
        agent.stop_reading()
        # More than what gRPC takes off our hands on the way to somebody who does not read.
        parameters = Blob.of(json.dumps({"text": "x" * 250_000}).encode())
        for _ in range(40):
            await world.create_run(parameters=parameters)
        sql = "SELECT count(*) FROM attempt WHERE status = 'granted'"
        await until_async(lambda: equals(world, sql, 40), what="40 grants")
        for number in range(50):
            await agent.send(renew=pb.Renew(id=number))
        await until(lambda: replica.parts.server.open_streams == 0, what="the end of the stream")
        agent.read_again()
        assert (await agent.until_ended()).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await agent.cut()
        welcome = await agent.connect()
        assert welcome.resumed
        await agent.wait_for("assign", lambda _: len(agent.heard("assign")) == 40)


async def test_a_stream_that_says_nothing_is_closed(database) -> None:
    settings = fast_settings(hello_timeout=timedelta(seconds=0.1))
    async with open_replica(database.url, settings) as replica, new_world(replica) as world:
        agent = await world.agent()
        agent.dial()
        assert (await agent.until_ended()).code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_fifty_agents_come_back_at_once(world: World) -> None:
    agents = [await world.agent(slots=1) for _ in range(50)]
    runs = [await world.create_run() for _ in agents]

    async def come(agent: FakeAgent) -> None:
        await agent.connect()
        assign = await agent.assigned()
        await agent.cut()
        held = (ref_run(assign), assign.attempt.fence, 0, True)
        welcome = await agent.connect(held)
        assert [a.verdict for a in welcome.attempts] == [pb.VERDICT_OK]
        await agent.complete(assign)

    await asyncio.gather(*(come(agent) for agent in agents))
    for run in runs:
        await world.until_status(run, "completed")
    assert await world.row("SELECT count(*) FROM attempt WHERE fence > 1") == (0,)
    assert await world.row("SELECT count(*) FROM slot") == (0,)


async def test_too_many_handshakes_are_told_when_to_come_again(database) -> None:
    limits = Limits(handshakes_per_second=1.0)
    async with (
        open_replica(database.url, fast_settings(limits=limits)) as replica,
        new_world(replica) as world,
    ):
        agents = [await world.agent() for _ in range(8)]
        outcomes = await asyncio.gather(*(a.connect() for a in agents), return_exceptions=True)
        refused = [o for o in outcomes if isinstance(o, StreamEnded)]
        assert refused
        assert {r.code for r in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert all(int(r.metadata["x-headway-retry-after-ms"]) > 0 for r in refused)
