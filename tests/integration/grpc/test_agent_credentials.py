"""Who may call: enrolment, assertions, replays, revocation, workspaces apart."""

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import grpc.aio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from headway_control_plane.domain.commands import RevokeAgent
from support.fake_agent import FakeAgent, Identity, StreamEnded, enrol
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


async def refusal(agent: FakeAgent, assertion: str) -> StreamEnded:
    with pytest.raises(StreamEnded) as refused:
        await agent.connect(assertion=assertion)
    await agent.cut()
    return refused.value


async def test_a_token_gives_one_agent_its_identity(world: World) -> None:
    identity = await world.enrolled()
    agent = FakeAgent(world.replica.target, identity)
    world.agents.append(agent)
    assert not (await agent.connect()).resumed


async def test_a_token_works_once(world: World) -> None:
    token = await world.token()
    await enrol(world.replica.target, token)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await enrol(world.replica.target, token)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert await world.row("SELECT count(*) FROM agent") == (1,)


async def test_an_answer_that_was_lost_is_given_again_to_the_same_key(world: World) -> None:
    token, key = await world.token(), Ed25519PrivateKey.generate()
    first = await enrol(world.replica.target, token, key=key)
    assert (await enrol(world.replica.target, token, key=key)).agent == first.agent
    assert await world.row("SELECT count(*) FROM agent") == (1,)


async def test_a_token_that_is_none_or_a_key_that_is_none_is_refused(world: World) -> None:
    target = world.replica.target
    good = await world.token()
    mistyped = good[:-9] + ("a" if good[-9] != "a" else "b") + good[-8:]
    for token in ("", "nonsense", mistyped, "\x00" * 50):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await enrol(target, token)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    async with grpc.aio.insecure_channel(target) as channel:
        request = pb.EnrolRequest(token=await world.token(), name="agent", public_key=b"short")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await AgentServiceStub(channel).Enrol(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_assertions_that_do_not_hold_are_refused_with_our_time(world: World) -> None:
    agent = await world.agent()
    identity, now = agent.identity, time.time()
    foreign = Ed25519PrivateKey.generate()
    nobody = Identity.new()
    claims = {
        "sub": str(identity.agent),
        "aud": "headway-agent",
        "iat": int(now),
        "exp": int(now) + 60,
    }
    bad = {
        "nonsense": "nonsense",
        "unsigned": jwt.encode({**claims, "jti": "1"}, None, algorithm="none"),
        "symmetric": jwt.encode({**claims, "jti": "1"}, "k" * 64, algorithm="HS256"),
        "another's key": identity.assertion(key=foreign),
        "unknown agent": nobody.assertion(),
        "expired": identity.assertion(now=now - 3600),
        "from the future": identity.assertion(now=now + 3600),
        "valid too long": identity.assertion(exp=int(now) + 3600),
        "for somebody else": identity.assertion(aud="headway-api"),
        "without an id": jwt.encode(claims, identity.key, algorithm="EdDSA"),
        "an id that is no text": identity.assertion(jti=7),
        "an agent that is no id": identity.assertion(sub="agent"),
        "times that are none": identity.assertion(iat="soon"),
    }
    for what, assertion in bad.items():
        ended = await refusal(agent, assertion)
        assert ended.code is grpc.StatusCode.UNAUTHENTICATED, what
        seconds = int(ended.metadata["x-headway-time-us"]) / 1e6
        assert abs(seconds - now) < 60, what
    await agent.connect()


async def test_an_assertion_works_once(world: World) -> None:
    agent = await world.agent()
    assertion = agent.identity.assertion()
    await agent.connect(assertion=assertion)
    await agent.cut()
    assert (await refusal(agent, assertion)).code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_call_without_an_assertion_is_refused(world: World) -> None:
    async with grpc.aio.insecure_channel(world.replica.target) as channel:
        call = AgentServiceStub(channel).Session()
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_revoked_agent_loses_its_stream_and_gets_no_other(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    await world.execute(RevokeAgent(agent.identity.agent, "stolen"))
    ended = await agent.until_ended()
    assert ended.code is grpc.StatusCode.UNAUTHENTICATED
    await agent.cut()
    assert (
        await refusal(agent, agent.identity.assertion())
    ).code is grpc.StatusCode.UNAUTHENTICATED
    assert "revoked" in str(await refusal(agent, agent.identity.assertion()))


async def test_the_runs_of_a_revoked_agent_go_to_another(world: World) -> None:
    agent, other = await world.agent(), await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    await world.execute(RevokeAgent(agent.identity.agent, "stolen"))
    await other.connect(renew_every=0.2)
    assert (await other.assigned(run)).attempt.fence == 2
    row = await world.row(
        "SELECT status, closed_reason FROM session WHERE session = %s", agent.session
    )
    assert row == ("closed", "revoked")


async def test_workspaces_share_nothing_not_even_session_ids(replica: Replica) -> None:
    async with new_world(replica, name="one") as one, new_world(replica, name="two") as two:
        ours, theirs = await one.agent(), await two.agent()
        theirs.session = ours.session
        await ours.connect()
        run = await one.create_run()
        await ours.assigned(run)
        welcome = await theirs.connect((run, 1, 0, True))
        assert not welcome.resumed
        assert [a.verdict for a in welcome.attempts] == [pb.VERDICT_UNKNOWN]
        assert ours.ended is None
        await ours.renew()
        assert not theirs.heard("assign")


async def test_an_agents_session_is_not_another_agents(world: World) -> None:
    agent, other = await world.agent(), await world.agent()
    await agent.connect()
    other.session = agent.session
    with pytest.raises(StreamEnded) as refused:
        await other.connect()
    assert refused.value.metadata["x-headway-session"] == "over"
    await agent.renew()
    other.session = uuid4()
    await other.cut()
    await other.connect()
