"""Sessions that can't be opened: their handshakes are bounded in number and in time, and cost others nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.grpc_api.settings import Limits
from headway_control_plane.grpc_api.stream import AgentStream
from support.fake_agent import FakeAgent, StreamEnded
from support.replica import (
    PATIENCE,
    World,
    fast_settings,
    new_world,
    open_replica,
    seconds,
    until_async,
)
from support.sql_troubles import locked_head

pytestmark = pytest.mark.postgres

ONE_PLACE = fast_settings(limits=Limits(handshakes_in_flight=1), hello_timeout=seconds(2))


async def outcome(agent: FakeAgent) -> StreamEnded:
    with pytest.raises(StreamEnded) as refused:
        await agent.connect()
    return refused.value


async def lets_in(world: World) -> None:
    agent = await world.agent()

    async def welcomed() -> bool:
        with suppress(StreamEnded):
            await agent.connect()
            return True
        await agent.cut()
        return False

    await until_async(welcomed, what="an agent is let in")
    await agent.close()


async def test_handshakes_in_flight_are_bounded_and_none_takes_longer_than_its_deadline(
    database,
) -> None:
    async with open_replica(database.url, ONE_PLACE) as replica, new_world(replica) as world:
        agents = [await world.agent() for _ in range(2)]
        with locked_head(replica.url, world.ws):
            ends = await asyncio.gather(*map(outcome, agents))
        crowded, late = sorted(
            ends, key=lambda end: end.code is not grpc.StatusCode.RESOURCE_EXHAUSTED
        )
        assert crowded.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(crowded.metadata["x-headway-retry-after-ms"]) >= 500
        assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "could not be opened" in late.details
        await lets_in(world)


async def test_an_agent_that_goes_away_during_its_handshake_gives_its_place_back(database) -> None:
    async with open_replica(database.url, ONE_PLACE) as replica, new_world(replica) as world:
        agent, other = await world.agent(), await world.agent()
        with locked_head(replica.url, world.ws):
            agent.dial()
            await agent.hello()

            async def is_full() -> bool:
                end = await outcome(other)
                await other.cut()
                return end.code is grpc.StatusCode.RESOURCE_EXHAUSTED

            await until_async(is_full, what="the only place is taken")
            await agent.cut()
        await lets_in(world)


class Deaf:
    """A call whose client takes nothing: no write ends."""

    def __init__(self, agent: FakeAgent) -> None:
        self._agent = agent
        self.code: grpc.StatusCode | None = None
        self.kept = 0

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._agent.identity.assertion()}"),)

    async def requests(self) -> AsyncIterator[pb.SessionRequest]:
        session = self._agent.session.bytes
        yield pb.SessionRequest(hello=pb.Hello(protocol=1, session=session, host="host", slots=1))
        await asyncio.Event().wait()

    async def write(self, _message: pb.SessionResponse) -> None:
        await asyncio.Event().wait()

    async def abort(self, code: grpc.StatusCode, *_told: object) -> None:
        self.code = code
        gc.collect()
        self.kept = sum(isinstance(each, AgentStream) for each in gc.get_objects())
        raise EOFError  # as gRPC does, to leave the handler


async def test_a_welcome_that_is_not_taken_ends_the_stream_and_what_it_had_to_say(database) -> None:
    settings = fast_settings(hello_timeout=seconds(1))
    async with open_replica(database.url, settings) as replica, new_world(replica) as world:
        call = Deaf(await world.agent())
        with pytest.raises(EOFError):
            async with asyncio.timeout(PATIENCE):
                await replica.parts.server._service.Session(call.requests(), call)
        assert call.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await world.row("SELECT count(*) FROM session") == (1,)
        # Its abort lasts as long as the client likes; nothing of the stream may last with it.
        assert call.kept == 0
