"""Every state that could last for ever has a deadline, and somebody acts on it."""

from dataclasses import replace

import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.domain.commands import CancelRun
from headway_control_plane.domain.run.events import OnLost
from support.fake_agent import exited, started, starting
from support.replica import (
    FAST,
    fast_settings,
    new_world,
    open_replica,
    seconds,
    until,
    until_async,
)

pytestmark = pytest.mark.postgres


async def test_an_attempt_that_never_begins_is_given_again(database) -> None:
    settings = fast_settings(replace(FAST, start_timeout=seconds(0.4)))
    async with open_replica(database.url, settings) as replica, new_world(replica) as world:
        agent = await world.agent()
        await agent.connect(renew_every=0.2)
        run = await world.create_run()
        await agent.assigned(run, fence=1)
        second = await agent.assigned(run, fence=2)
        late = await agent.report(run, 1, 1, [starting()])
        assert late.verdict == pb.VERDICT_FENCED
        await agent.complete(second)
        await world.until_status(run, "completed")


async def test_a_start_that_fell_into_a_cut_is_not_repeated(database) -> None:
    # The agent is lost when the deadline passes, and back before its loss means anything.
    patient = replace(FAST, start_timeout=seconds(1.5), reassign_after=seconds(60))
    async with (
        open_replica(database.url, fast_settings(patient)) as replica,
        new_world(replica) as world,
    ):
        agent, heir = await world.agent(), await world.agent()
        await agent.connect(renew_every=0.2)
        run = await world.create_run()
        await agent.assigned(run)
        await agent.cut()
        await heir.connect(renew_every=0.2)
        overdue = (
            "SELECT FROM headway.timer JOIN headway.session ON session.status = 'lost'"
            " WHERE timer.kind = 'start' AND timer.due_at < clock_timestamp() - interval '0.5 s'"
        )

        async def passed() -> bool:
            with database.connect() as connection:
                return connection.execute(overdue).fetchone() is not None

        await until_async(passed, what="a start deadline that passed while its agent was away")
        await agent.connect((run, 1, 2, True), renew_every=0.2)
        await agent.report(run, 1, 1, [starting(), started(), exited()])
        await world.until_status(run, "completed")
        assert not heir.heard("assign")


async def test_a_cancel_whose_death_nobody_sees_ends_all_the_same(database) -> None:
    async with (
        open_replica(database.url) as replica,
        new_world(replica, cancel_grace_ms=0, kill_grace_ms=0) as world,
    ):
        agent = await world.agent()
        await agent.connect(renew_every=0.2)
        run = await world.create_run()
        await agent.assigned(run)
        await agent.report(run, 1, 1, [starting(), started()])
        await world.execute(CancelRun(run))
        await agent.wait_for("cancel")
        await world.until_status(run, "cancelled")
        sql = "SELECT reason FROM run WHERE run = %s"
        assert await world.row(sql, run) == ("death unconfirmed",)
        # The agent may still have something to say, so it is not told to forget.
        late = await agent.report(run, 1, 3, [exited(4)])
        assert late.verdict == pb.VERDICT_FENCED
        assert not agent.heard("forget")


@pytest.mark.parametrize(
    ("on_lost", "status", "reason"),
    [(OnLost.HOLD, "paused", "lost"), (OnLost.FAIL, "failed", "lost")],
)
async def test_a_lost_agents_run_is_held_or_failed_as_its_deployment_says(
    database, on_lost: OnLost, status: str, reason: str
) -> None:
    async with open_replica(database.url) as replica, new_world(replica, on_lost=on_lost) as world:
        agent = await world.agent()
        await agent.connect()
        run = await world.create_run()
        await agent.assigned(run)
        await agent.report(run, 1, 1, [starting(), started()])
        await agent.cut()
        await world.until_status(run, status)
        assert await world.row("SELECT reason FROM run WHERE run = %s", run) == (reason,)


async def test_attempts_of_a_session_that_another_replica_closed_are_found(database) -> None:
    async with open_replica(database.url) as one, open_replica(database.url) as two:
        await until(lambda: len(one.parts.shards.held()) == 512, what="equal parts")
        async with new_world(one) as world:
            (shard,) = await world.row("SELECT shard FROM workspace")
            other = two if shard in one.parts.shards.held() else one
            agent, heir = await world.agent(replica=other), await world.agent()
            await agent.connect(renew_every=0.2)
            run = await world.create_run()
            await agent.assigned(run)
            await agent.report(run, 1, 1, [starting(), started()])
            await heir.connect(renew_every=0.2)
            # Committed by a replica that does not own the shard.
            await agent.send(goodbye=pb.Goodbye(reason="gone", handover=False))
            await heir.assigned(run, fence=2)


async def test_a_handover_that_nobody_takes_up_ends(database) -> None:
    async with open_replica(database.url) as replica, new_world(replica) as world:
        agent, heir = await world.agent(), await world.agent()
        await agent.connect()
        run = await world.create_run()
        await agent.assigned(run)
        await agent.report(run, 1, 1, [starting(), started()])
        await agent.send(goodbye=pb.Goodbye(reason="restart", handover=True))
        await agent.until_ended()
        await heir.connect(renew_every=0.2)
        assert await world.status(run) == "running"
        await heir.assigned(run, fence=2)
