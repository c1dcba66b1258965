"""Agents that name what is not theirs: another workspace's runs, another agent's attempts, another's token.

Each is answered as for something that is nowhere; nothing is appended, nothing told, nobody disturbed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import grpc
import grpc.aio
import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.domain.commands import CancelRun, CreatePool
from support.fake_agent import (
    FakeAgent,
    StreamEnded,
    call_ended,
    enrol,
    exited,
    ref,
    started,
    starting,
)
from support.replica import Replica, World, new_world, open_replica

pytestmark = pytest.mark.postgres

# What is stored of a run. The sessions of agents that come and go are events too, of their own streams.
KEPT = {
    "event": "stream_id",
    "log_chunk": "run",
    "late_fact": "run",
    "attempt": "run",
    "run": "run",
    "run_wait": "run",
    "slot": "run",
}


@pytest.fixture
async def replica(database) -> AsyncIterator[Replica]:
    async with open_replica(database.url) as replica:
        yield replica


@pytest.fixture
async def us(replica: Replica) -> AsyncIterator[World]:
    async with new_world(replica, name="us") as world:
        yield world


@pytest.fixture
async def them(replica: Replica) -> AsyncIterator[World]:
    async with new_world(replica, name="them") as world:
        yield world


class Theirs:
    """An agent that executes a run, has reported and printed, and is being asked to cancel."""

    def __init__(self, world: World, agent: FakeAgent, run: UUID) -> None:
        self.world, self.agent, self.run = world, agent, run

    async def kept(self) -> list[list[tuple]]:
        """All that is stored of the run, and how much content the workspace has."""
        kept = [await self.world.rows("SELECT count(*) FROM payload WHERE ws = %s", self.world.ws)]
        for table, column in KEPT.items():
            sql = f"SELECT * FROM {table} WHERE ws = %s AND {column} = %s ORDER BY 1, 2, 3"
            kept.append(await self.world.rows(sql, self.world.ws, self.run))
        assert kept[1]
        return kept

    async def goes_on(self) -> None:
        """Its own agent is still believed, from the fact where it stood."""
        assert self.agent.ended is None
        await self.agent.renew()
        ack = await self.agent.report(self.run, 1, 3, [exited()])
        assert (ack.verdict, ack.last_seq) == (pb.VERDICT_OK, 3)


async def executing(world: World) -> Theirs:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    await agent.report(run, 1, 1, [starting(), started()])
    assert (await agent.write_lines(run, 1, 1, 5)).last_line == 5
    return Theirs(world, agent, run)


@asynccontextmanager
async def unchanged(theirs: Theirs) -> AsyncIterator[None]:
    before = await theirs.kept()
    yield
    assert await theirs.kept() == before


def said(agent: FakeAgent) -> bytes:
    """All that came down, but for what names the question."""
    return b"".join(message.SerializeToString() for message in agent.inbox)


@pytest.mark.parametrize("whose", ["another workspace", "another agent"])
async def test_what_is_not_an_agents_own_is_nowhere_to_it(
    us: World, them: World, whose: str
) -> None:
    """Held in Hello, in facts and in lines: the answer is that to a made-up id, before and after the run is cancelled."""
    theirs = await executing(them if whose == "another workspace" else us)
    stranger = await us.agent()
    nowhere = uuid4()
    async with unchanged(theirs):
        for alive, last_seq in ((True, 99), (False, 99), (True, 0)):
            held = [(run, 1, last_seq, alive) for run in (theirs.run, nowhere)]
            welcome = await stranger.connect(*held)
            real, control = welcome.attempts
            assert real.attempt.run == theirs.run.bytes
            real.attempt.run = nowhere.bytes
            assert real == control
            assert control == pb.Resume(attempt=ref(nowhere, 1), verdict=pb.VERDICT_UNKNOWN)
            await report_everything(stranger, theirs.run, nowhere)
            assert not stranger.heard("forget")
            assert not stranger.heard("assign")
            await stranger.cut()
    await theirs.goes_on()


async def report_everything(stranger: FakeAgent, run: UUID, nowhere: UUID) -> None:
    """Facts at every place that could fit, for every fence, an end, output."""
    for fence in (1, 2):
        for first_seq in (1, 3, 7):
            facts = [starting(), started(), call_ended(1), exited()]
            real = await stranger.report(run, fence, first_seq, facts)
            control = await stranger.report(nowhere, fence, first_seq, facts)
            assert (real.verdict, real.last_seq) == (pb.VERDICT_UNKNOWN, 0)
            assert (real.reason, real.retry_after_ms) == (control.reason, control.retry_after_ms)
        for first_line in (1, 6):
            assert (await stranger.write_lines(run, fence, first_line, 1)).last_line == 0
    assert stranger.ended is None
    assert all(not ack.HasField("witness") for ack in stranger.heard("ack"))


@pytest.mark.parametrize("whose", ["another workspace", "another agent"])
async def test_one_batch_of_own_and_others_facts_keeps_the_own_alone(
    us: World, them: World, whose: str
) -> None:
    theirs = await executing(them if whose == "another workspace" else us)
    stranger = await us.agent()
    await theirs.agent.send(slots=pb.Slots(slots=0))
    await theirs.agent.renew()
    await stranger.connect((theirs.run, 1, 2, True))
    own = await us.create_run()
    await stranger.assigned(own)
    both = [
        pb.AttemptFacts(attempt=ref(own, 1), first_seq=1, facts=[starting(), started()]),
        pb.AttemptFacts(attempt=ref(theirs.run, 1), first_seq=3, facts=[exited()]),
    ]
    await stranger.send(facts=pb.FactBatch(id=10_000, attempts=both))
    ack = await stranger.acked(10_000)
    verdicts = {
        UUID(bytes=item.attempt.run): (item.verdict, item.last_seq) for item in ack.attempts
    }
    assert verdicts == {own: (pb.VERDICT_OK, 2), theirs.run: (pb.VERDICT_UNKNOWN, 0)}
    await theirs.goes_on()


async def test_a_cancel_is_told_to_the_agent_that_executes_the_run_alone(
    us: World, them: World
) -> None:
    for world in (us, them):
        theirs = await executing(world)
        stranger = await us.agent()
        await stranger.connect((theirs.run, 1, 2, True))
        await world.execute(CancelRun(theirs.run))
        await theirs.agent.wait_for("cancel", lambda c, run=theirs.run: c.attempt.run == run.bytes)
        await stranger.renew()
        await stranger.cut()
        welcome = await stranger.connect((theirs.run, 1, 2, True))
        assert welcome.attempts[0].verdict == pb.VERDICT_UNKNOWN
        assert not welcome.attempts[0].cancel
        assert not stranger.heard("cancel")
        await stranger.close()
        await theirs.agent.report(theirs.run, 1, 3, [exited()])


async def test_an_end_is_told_to_the_agent_that_executed_the_run_alone(
    us: World, them: World
) -> None:
    theirs = await executing(them)
    stranger = await us.agent()
    await stranger.connect((theirs.run, 1, 2, True))
    await theirs.goes_on()
    await theirs.agent.wait_for("forget", lambda f: f.run == theirs.run.bytes)
    await stranger.renew()
    await stranger.cut()
    await stranger.connect((theirs.run, 1, 3, False))
    await stranger.renew()
    assert not stranger.heard("forget")


async def test_a_session_of_another_can_neither_be_taken_nor_ended(us: World, them: World) -> None:
    for world in (us, them):
        theirs = await executing(world)
        thief = await us.agent()
        thief.session = theirs.agent.session
        async with unchanged(theirs):
            if world is us:
                with pytest.raises(StreamEnded):
                    await thief.connect()
            else:
                # Ids of sessions are a workspace's own: this one is the thief's, and the same only by its bytes.
                await thief.connect()
                await thief.send(slots=pb.Slots(slots=0))
                await thief.send(goodbye=pb.Goodbye(reason="thief"))
                await thief.until_ended()
            assert not thief.heard("assign")
            assert theirs.run.bytes not in said(thief)
        await theirs.goes_on()
        assert await world.session_status(theirs.agent.session) == "open"


async def test_runs_go_to_agents_of_their_own_pool_alone(us: World) -> None:
    pool = us.replica.ids()
    await us.execute(CreatePool(pool, "other-pool", (), 0))
    ours, us.pool = us.pool, pool
    elsewhere = await us.agent()
    us.pool = ours
    here = await us.agent()
    await elsewhere.connect()
    await here.connect()
    for _ in range(3):
        run = await us.create_run()
        await here.complete(await here.assigned(run))
    await elsewhere.renew()
    assert not elsewhere.heard("assign")


# Enrolment ----------------------------------------------------------------------------------------------------


async def refused(target: str, token: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as answer:
        await enrol(target, token)
    assert answer.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_token_leads_into_the_workspace_and_pool_it_was_made_for(
    us: World, them: World
) -> None:
    """Parts of tokens can't be combined, and a try with such a combination spends nobody's token."""
    target = us.replica.target
    ours, theirs = await us.token(), await them.token()
    head, cut = ours.rpartition("_")[0], len(ours.rpartition("_")[2])
    await refused(target, f"{theirs.rpartition('_')[0]}_{ours[-cut:]}")
    await refused(target, f"{head}_{theirs[-cut:]}")
    ours_agent, theirs_agent = await enrol(target, ours), await enrol(target, theirs)
    for world, agent in ((us, ours_agent), (them, theirs_agent)):
        rows = await world.rows("SELECT agent, pool FROM agent")
        assert rows == [(agent.agent, world.pool)]
    await refused(target, ours)


async def test_an_enrolled_agent_serves_its_own_workspace_whatever_it_says(
    us: World, them: World
) -> None:
    agent = FakeAgent(us.replica.target, await us.enrolled())
    us.agents.append(agent)
    theirs = await executing(them)
    await theirs.agent.close()
    waiting = await them.create_run()
    await agent.connect((theirs.run, 1, 2, True), (waiting, 1, 0, False))
    own = await us.create_run()
    assert (await agent.assigned()).attempt.run == own.bytes
    assert len(agent.heard("assign")) == 1
    # An assertion that names an agent of theirs, signed with our key.
    impostor = FakeAgent(us.replica.target, agent.identity)
    us.agents.append(impostor)
    bad = agent.identity.assertion(sub=str(theirs.agent.identity.agent))
    with pytest.raises(StreamEnded) as answer:
        await impostor.connect(assertion=bad)
    assert answer.value.code is grpc.StatusCode.UNAUTHENTICATED
