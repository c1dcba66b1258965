"""What becomes of runs when agents vanish, come back, forget, or come back too late."""

from collections.abc import AsyncIterator
from uuid import UUID

import grpc
import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.domain.commands import CancelRun
from support.fake_agent import FakeAgent, StreamEnded, call_ended, exited, started, starting
from support.replica import Replica, World, new_world, open_replica, until, until_async

pytestmark = pytest.mark.postgres


@pytest.fixture
async def replica(database) -> AsyncIterator[Replica]:
    async with open_replica(database.url) as replica:
        yield replica


@pytest.fixture
async def world(replica: Replica) -> AsyncIterator[World]:
    async with new_world(replica) as world:
        yield world


async def running_run(world: World, agent: FakeAgent) -> UUID:
    """A run whose user code runs on this agent, with two facts in the log."""
    run = await world.create_run()
    await agent.assigned(run)
    await agent.report(run, 1, 1, [starting(), started()])
    return run


async def until_session(world: World, session: UUID, status: str) -> None:
    async def reached() -> bool:
        return await world.session_status(session) == status

    await until_async(reached, what=f"session {status}")


async def test_a_cut_stream_goes_on_where_the_log_ends(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await running_run(world, agent)
    await agent.cut()
    welcome = await agent.connect((run, 1, 5, True))
    assert welcome.resumed
    (resume,) = welcome.attempts
    assert (resume.verdict, resume.last_seq, resume.cancel) == (pb.VERDICT_OK, 2, False)
    ack = await agent.report(run, 1, 3, [call_ended(1), call_ended(2), exited()])
    assert (ack.verdict, ack.last_seq) == (pb.VERDICT_OK, 5)
    assert await world.status(run) == "completed"
    assert not agent.heard("assign")


async def test_a_grant_that_got_lost_on_its_way_is_sent_again(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    await agent.cut()
    await agent.connect()
    assert (await agent.assigned(run)).attempt.fence == 1


async def test_a_restarted_agent_gets_what_it_never_began(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await world.create_run()
    await agent.assigned(run)
    await agent.cut()
    successor = world.again(agent)
    await successor.connect()
    assign = await successor.assigned(run)
    assert assign.attempt.fence == 1
    assert await world.session_status(agent.session) == "closed"
    await successor.complete(assign)
    assert await world.status(run) == "completed"


async def test_a_restarted_agent_keeps_what_still_runs(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await running_run(world, agent)
    await agent.cut()
    successor = world.again(agent)
    welcome = await successor.connect((run, 1, 2, True))
    assert [a.verdict for a in welcome.attempts] == [pb.VERDICT_OK]
    sql = "SELECT session FROM attempt WHERE run = %s"
    assert await world.row(sql, run) == (successor.session,)
    await successor.report(run, 1, 3, [exited()])
    assert await world.status(run) == "completed"


async def test_a_restarted_agent_gets_nothing_for_slots_that_it_still_uses(world: World) -> None:
    agent = await world.agent(slots=1)
    await agent.connect()
    run = await running_run(world, agent)
    other = await world.create_run()
    await agent.cut()
    successor = world.again(agent)
    await successor.connect((run, 1, 2, True))
    sql = "SELECT slots FROM session WHERE session = %s"
    assert await world.row(sql, successor.session) == (1,)
    assert await world.status(other) == "scheduled"
    await successor.report(run, 1, 3, [exited()])
    await successor.complete(await successor.assigned(other))
    order = "SELECT type, stream_id FROM event WHERE type IN ('RunCompleted', 'RunGranted', 'RunReattached') ORDER BY \"offset\""
    assert await world.rows(order) == [
        ("RunGranted", run),
        ("RunReattached", run),
        ("RunCompleted", run),
        ("RunGranted", other),
        ("RunCompleted", other),
    ]


async def test_what_the_agent_began_and_forgot_is_run_again(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await running_run(world, agent)
    await agent.cut()
    successor = world.again(agent)
    await successor.connect()
    assign = await successor.assigned(run)
    assert assign.attempt.fence == 2
    rows = await world.rows("SELECT fence, outcome FROM attempt WHERE run = %s ORDER BY 1", run)
    assert rows == [(1, "agent forgot"), (2, "")]


async def test_a_session_that_returns_before_a_new_grant_takes_up_its_run(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await running_run(world, agent)
    await agent.cut()
    await until_session(world, agent.session, "lost")
    assert await world.status(run) == "running"
    welcome = await agent.connect((run, 1, 3, True))
    assert [(a.verdict, a.last_seq) for a in welcome.attempts] == [(pb.VERDICT_OK, 2)]
    assert await world.session_status(agent.session) == "open"
    await agent.report(run, 1, 3, [exited()])
    assert await world.status(run) == "completed"


async def test_a_renewal_of_a_lost_session_resumes_it(world: World) -> None:
    agent = await world.agent()
    await agent.connect(renew_every=None)
    await until_session(world, agent.session, "lost")
    await agent.renew()
    assert await world.session_status(agent.session) == "open"
    run = await world.create_run()
    await agent.assigned(run)


async def test_a_lost_agents_run_goes_to_another_and_the_old_one_is_fenced(world: World) -> None:
    agent, other = await world.agent(), await world.agent()
    await agent.connect()
    run = await running_run(world, agent)
    await agent.cut()
    await other.connect(renew_every=0.2)
    assign = await other.assigned(run)
    assert assign.attempt.fence == 2
    # Its session is over, and it learns that it needs a new one.
    with pytest.raises(StreamEnded) as refused:
        await agent.connect((run, 1, 4, True))
    assert refused.value.code is grpc.StatusCode.ABORTED
    assert refused.value.metadata["x-headway-session"] == "over"
    await agent.cut()
    successor = world.again(agent)
    welcome = await successor.connect((run, 1, 4, True))
    assert [a.verdict for a in welcome.attempts] == [pb.VERDICT_FENCED]
    late = await successor.report(run, 1, 3, [call_ended(1), exited()])
    assert late.verdict == pb.VERDICT_FENCED
    kept = await world.rows("SELECT seq FROM late_fact WHERE run = %s ORDER BY 1", run)
    assert kept == [(3,), (4,)]
    await other.report(run, 2, 1, [starting(), started(), exited()])
    assert await world.status(run) == "completed"


async def test_a_late_agent_takes_its_run_up_again_while_nobody_else_has_it(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await running_run(world, agent)
    await agent.cut()
    await world.until_status(run, "scheduled")
    successor = world.again(agent)
    # No slots: the run must not simply be granted anew.
    welcome = await successor.connect((run, 1, 2, True), slots=0)
    assert [(a.verdict, a.last_seq) for a in welcome.attempts] == [(pb.VERDICT_OK, 2)]
    assert await world.status(run) == "running"
    await successor.report(run, 1, 3, [exited()])
    assert await world.status(run) == "completed"
    rows = await world.rows("SELECT fence FROM attempt WHERE run = %s", run)
    assert rows == [(1,)]


async def test_nothing_is_given_away_when_a_third_of_the_agents_vanish_at_once(
    world: World,
) -> None:
    agents = [await world.agent(slots=1) for _ in range(4)]
    survivor = agents[-1]
    for agent in agents:
        await agent.connect(renew_every=0.2)
    runs = [await world.create_run() for _ in agents]
    for agent in agents:
        await agent.wait_for("assign")
    await survivor.cut()
    await survivor.connect((UUID(int=1), 1, 0, False), renew_every=0.2, slots=10)
    sweeper = world.replica.parts.sweeper
    (shard,) = await world.row("SELECT shard FROM session LIMIT 1")
    await until(lambda: not sweeper.rests(shard), what="the rest after the start")
    for agent in agents[:-1]:
        await agent.cut()
    for agent in agents[:-1]:
        await until_session(world, agent.session, "lost")
    # The deadlines have passed and the sweeper saw them: from then on the brake alone holds the runs back.
    overdue = "SELECT count(*) = 3 FROM timer WHERE kind = 'reassign' AND due_at < headway_now()"

    async def held_back() -> bool:
        return await world.row(overdue) == (True,) and sweeper.rests(shard)

    await until_async(held_back, what="the brake")
    statuses = {await world.session_status(agent.session) for agent in agents[:-1]}
    assert statuses == {"lost"}
    assert {await world.status(run) for run in runs} == {"pending"}
    # Two of three return: what is left is no longer a third, and its run goes to somebody else.
    for agent in agents[:2]:
        given = UUID(bytes=agent.heard("assign")[0].attempt.run)
        await agent.connect((given, 1, 0, True), renew_every=0.2)
    (left,) = [UUID(bytes=m.attempt.run) for m in agents[2].heard("assign")]
    assert (await survivor.assigned(left)).attempt.fence == 2


async def test_a_cancel_of_a_vanished_agents_run_is_told_when_it_returns(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await running_run(world, agent)
    await agent.cut()
    await world.execute(CancelRun(run))
    welcome = await agent.connect((run, 1, 2, True))
    assert welcome.attempts[0].cancel
    await agent.report(run, 1, 3, [exited(4)])
    assert await world.status(run) == "cancelled"


async def test_runs_that_ended_are_forgotten_by_whoever_still_holds_them(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    run = await running_run(world, agent)
    await agent.report(run, 1, 3, [exited()])
    await agent.cut()
    welcome = await agent.connect((run, 1, 3, False))
    assert [(a.verdict, a.last_seq) for a in welcome.attempts] == [(pb.VERDICT_OK, 3)]
    assert (await agent.wait_for("forget")).run == run.bytes


async def test_an_agent_learns_nothing_of_others_attempts(world: World) -> None:
    agent, other = await world.agent(), await world.agent()
    await agent.connect()
    run = await running_run(world, agent)
    welcome = await other.connect((run, 1, 9, True), slots=0)
    assert [(a.verdict, a.last_seq) for a in welcome.attempts] == [(pb.VERDICT_UNKNOWN, 0)]
    forged = await other.report(run, 1, 3, [exited()])
    assert forged.verdict == pb.VERDICT_UNKNOWN
    assert (await other.write_lines(run, 1, 1, 1)).last_line == 0
    assert await world.status(run) == "running"


async def test_a_second_process_with_the_same_identity_ends_the_first(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    await world.again(agent).connect()
    ended = await agent.until_ended()
    assert ended.code is grpc.StatusCode.ALREADY_EXISTS


async def test_a_late_hello_of_an_earlier_process_takes_nothing(world: World) -> None:
    agent = await world.agent()
    await agent.connect(incarnation=7)
    run = await running_run(world, agent)
    early = world.again(agent)
    early.dial()
    await early.hello((run, 1, 2, True), incarnation=6)
    ended = await early.until_ended()
    assert ended.code is grpc.StatusCode.ALREADY_EXISTS
    assert await world.session_status(agent.session) == "open"
    assert await world.session_status(early.session) is None
    again = await agent.report(run, 1, 3, [exited()])
    assert again.verdict == pb.VERDICT_OK
    # Once the later process is gone for good, whoever is left may work: a state directory that was put back, perhaps.
    await agent.send(goodbye=pb.Goodbye(reason="gone", handover=False))
    await agent.until_ended()
    other = world.again(agent)
    await other.connect(incarnation=6)


async def test_an_agent_that_does_not_count_its_processes_is_taken_at_its_word(
    world: World,
) -> None:
    agent = await world.agent()
    await agent.connect(incarnation=7)
    await world.again(agent).connect()
    assert (await agent.until_ended()).code is grpc.StatusCode.ALREADY_EXISTS


async def test_a_newer_stream_of_the_same_session_replaces_the_older(world: World) -> None:
    agent = await world.agent()
    await agent.connect()
    twin = world.again(agent)
    twin.session = agent.session
    assert (await twin.connect()).resumed
    assert (await agent.until_ended()).code is grpc.StatusCode.ABORTED
    run = await world.create_run()
    await twin.assigned(run)
