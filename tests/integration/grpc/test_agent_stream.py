"""Agents over a real socket, a real log and a real database: the life of sessions and runs."""

from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.event.v1 import attempt_pb2
from headway_control_plane.domain.commands import CancelRun
from support.fake_agent import FakeAgent, call_ended, exited, fact, ref, started, starting
from support.replica import Replica, World, fast_settings, new_world, open_replica, until_async

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


async def test_facts_sent_twice_or_too_early_are_told_apart(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    gap = await agent.report(run, 1, 3, [started()])
    assert (gap.verdict, gap.last_seq) == (pb.VERDICT_GAP, 0)
    await agent.report(run, 1, 1, [starting(), started()])
    again = await agent.report(run, 1, 1, [starting(), started(), call_ended(1)])
    assert (again.verdict, again.last_seq) == (pb.VERDICT_OK, 3)


async def test_a_fact_that_cannot_be_stored_is_named_and_replaced(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    bad = pb.Fact(type="CallEnded", schema_version=1, occurred_at_us=1, payload=b"\xff\xff\xff")
    poisoned = await agent.report(run, 1, 1, [starting(), bad, started()])
    assert (poisoned.verdict, poisoned.last_seq) == (pb.VERDICT_POISON, 1)
    assert poisoned.reason
    dropped = fact(attempt_pb2.FactDropped(type="CallEnded", reason=poisoned.reason))
    ack = await agent.report(run, 1, 2, [dropped, started()])
    assert (ack.verdict, ack.last_seq) == (pb.VERDICT_OK, 3)


async def test_an_ack_names_the_place_in_the_log(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    ack = await agent.acked(await agent.post(run, 1, 1, [starting()]))
    head = await world.row('SELECT epoch, "offset", chain FROM workspace_head')
    assert (ack.witness.epoch, ack.witness.offset, ack.witness.chain) == head


async def test_output_is_stored_in_order_and_once(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    assert (await agent.write_lines(run, 1, 1, 10)).last_line == 10
    assert (await agent.write_lines(run, 1, 1, 10)).last_line == 10
    assert (await agent.write_lines(run, 1, 15, 2)).last_line == 10
    assert (await agent.write_lines(run, 1, 11, 5)).last_line == 15
    await agent.cut()
    welcome = await agent.connect((run, 1, 0, True))
    assert welcome.attempts[0].last_line == 15


async def test_the_last_output_comes_behind_the_end_of_the_run(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    await agent.report(run, 1, 1, [starting(), started(), exited()])
    await agent.wait_for("forget")
    assert (await agent.write_lines(run, 1, 1, 10)).last_line == 10


async def test_cancel_reaches_the_agent_and_its_end_the_run(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    await agent.report(run, 1, 1, [starting(), started()])
    await world.execute(CancelRun(run, "no longer needed"))
    cancel = await agent.wait_for("cancel")
    assert (cancel.attempt.run, cancel.attempt.fence) == (run.bytes, 1)
    await agent.report(run, 1, 3, [exited(attempt_pb2.ATTEMPT_OUTCOME_CANCELLED)])
    assert await world.status(run) == "cancelled"
    assert len(agent.heard("cancel")) == 1


async def ended_together(world: World, agent: FakeAgent, count: int) -> list[bytes]:
    """Has so many runs begin and end, their ends in one batch; the runs whose Forget came."""
    runs = [await world.create_run() for _ in range(count)]
    for run in runs:
        await agent.assigned(run)
    ends = [
        pb.AttemptFacts(attempt=ref(run, 1), first_seq=1, facts=[starting(), started(), exited()])
        for run in runs
    ]
    await agent.send(facts=pb.FactBatch(id=1, attempts=ends))
    await agent.wait_for("forget", lambda _: len(agent.heard("forget")) == count)
    assert {forget.run for forget in agent.heard("forget")} == {run.bytes for run in runs}
    return [forget.run for forget in agent.heard("forget")]


async def test_what_waits_together_comes_in_one_message_to_who_takes_it(world: World) -> None:
    agent = await world.agent()
    await agent.connect(capabilities=["log-gaps", "several"])
    await ended_together(world, agent, 3)
    several = [message.several for message in agent.whole if message.HasField("several")]
    (ends,) = [each for each in several if any(m.HasField("ack") for m in each.messages)]
    assert [m.WhichOneof("message") for m in ends.messages] == ["ack", *["forget"] * 3]
    assert agent.whole[0].HasField("welcome")


async def test_who_does_not_name_it_gets_each_message_alone(world: World) -> None:
    agent = await world.agent()
    await agent.connect(capabilities=["log-gaps"])
    await ended_together(world, agent, 3)
    assert agent.whole == agent.inbox


async def test_slots_bound_what_is_given_and_zero_gives_nothing(world: World) -> None:
    agent = await world.agent(slots=2)
    await agent.connect()
    runs = [await world.create_run() for _ in range(5)]
    await agent.wait_for("assign", lambda _: len(agent.heard("assign")) == 2)
    await agent.send(slots=pb.Slots(slots=0))
    first = agent.heard("assign")[0]
    await agent.complete(first)
    await until_async(lambda: _slots(world, agent.session, 0), what="the new slots")
    await agent.send(slots=pb.Slots(slots=5))
    await agent.wait_for("assign", lambda _: len(agent.heard("assign")) == 5)
    assert {assign.attempt.run for assign in agent.heard("assign")} == {r.bytes for r in runs}


async def test_a_pool_gives_no_more_than_its_slots(replica: Replica) -> None:
    async with new_world(replica, pool_slots=1) as world:
        agent = await world.agent(slots=4)
        await agent.connect(renew_every=0.3)
        first, second = await world.create_run(), await world.create_run()
        assign = await agent.assigned(first)

        async def told() -> bool:
            sql = "SELECT reason, object FROM run_wait WHERE run = %s AND until IS NULL"
            return await world.row(sql, second) == ("pool at its limit", "local 1/1")

        await until_async(told, what="the reason")
        await agent.complete(assign)
        await agent.assigned(second)
        assert await world.row("SELECT 1 FROM run_wait WHERE until IS NULL") is None


async def test_a_run_of_the_future_is_given_when_it_is_due(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    (now,) = await world.row("SELECT headway_now()")
    due_at = now + timedelta(seconds=0.7)
    run = await world.create_run(due_at=due_at)
    await agent.assigned(run)
    (granted_at,) = await world.row("SELECT granted_at FROM attempt WHERE run = %s", run)
    assert granted_at >= due_at


async def test_goodbye_with_handover_keeps_the_attempt_for_the_next_process(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    await agent.report(run, 1, 1, [starting(), started()])
    await agent.send(goodbye=pb.Goodbye(reason="restart", handover=True))
    ended = await agent.until_ended()
    assert ended.code is grpc.StatusCode.OK
    assert await world.session_status(agent.session) == "closed"
    successor = world.again(agent)
    welcome = await successor.connect((run, 1, 2, True))
    assert [(a.verdict, a.last_seq) for a in welcome.attempts] == [(pb.VERDICT_OK, 2)]
    await successor.report(run, 1, 3, [exited()])
    assert await world.status(run) == "completed"


async def test_goodbye_without_handover_gives_the_runs_away_at_once(world: World) -> None:
    agent, other = await world.agent(), await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    await agent.report(run, 1, 1, [starting(), started()])
    await other.connect()
    await agent.send(goodbye=pb.Goodbye(reason="gone", handover=False))
    assign = await other.assigned(run)
    assert assign.attempt.fence == 2


async def test_what_was_sent_before_a_goodbye_is_answered(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    batch = await agent.post(run, 1, 1, [starting(), started(), exited()])
    await agent.send(goodbye=pb.Goodbye(reason="done", handover=True))
    assert (await agent.acked(batch)).attempts[0].last_seq == 3
    assert (await agent.until_ended()).code is grpc.StatusCode.OK
    assert await world.status(run) == "completed"


async def test_a_stream_is_asked_to_move_before_it_is_closed(database) -> None:
    settings = fast_settings(stream_max_age=timedelta(seconds=0.3))
    async with open_replica(database.url, settings) as replica, new_world(replica) as world:
        agent = await world.agent()
        await agent.connect()
        drain = await agent.wait_for("drain")
        assert 0 <= drain.reconnect_after_ms <= 400
        ended = await agent.until_ended()
        assert ended.code is grpc.StatusCode.UNAVAILABLE
        await agent.cut()
        assert (await agent.connect()).resumed


async def test_stopping_asks_the_agents_to_move(database) -> None:
    async with open_replica(database.url) as replica, new_world(replica) as world:
        agent = await world.agent()
        await agent.connect()
        run = await world.create_run()
        await agent.assigned(run)
        await replica.parts.server.stop()
        assert agent.heard("drain")
        await agent.until_ended()
        # A cut stream is no lost session.
        assert await world.session_status(agent.session) == "open"


async def _slots(world: World, session, slots: int) -> bool:
    row = await world.row("SELECT slots FROM session WHERE session = %s", session)
    return row == (slots,)
