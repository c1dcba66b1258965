"""Two replicas on one database: shards shared out, taken over, and kept apart by their epochs."""

from collections.abc import AsyncIterator

import grpc
import psycopg
import pytest

from headway_control_plane.dispatch.ownership import SHARDS
from headway_control_plane.domain.commands import CancelRun, GrantRun
from headway_control_plane.domain.errors import StaleShard
from support.fake_agent import exited, started, starting
from support.replica import Replica, World, new_world, open_replica, until, until_async

pytestmark = pytest.mark.postgres


@pytest.fixture
async def pair(database) -> AsyncIterator[tuple[Replica, Replica]]:
    async with open_replica(database.url) as one, open_replica(database.url) as two:
        await until(lambda: shared_out(one, two), what="equal parts")
        yield one, two


def shared_out(*replicas: Replica) -> bool:
    return all(len(r.parts.shards.held()) == SHARDS // len(replicas) for r in replicas)


async def shard_of(world: World) -> int:
    return (await world.row("SELECT shard FROM workspace"))[0]


async def owner_and_other(pair: tuple[Replica, Replica], world: World) -> tuple[Replica, Replica]:
    shard = await shard_of(world)
    one, two = pair
    return (one, two) if shard in one.parts.shards.held() else (two, one)


async def test_each_owns_half_and_none_owns_anothers(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    assert not set(one.parts.shards.held()) & set(two.parts.shards.held())
    assert not one.parts.shards.alone
    with psycopg.connect(one.url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT owner, count(*) FROM headway.shard GROUP BY owner"
        ).fetchall()
    assert dict(rows) == {one.id: 512, two.id: 512}


async def test_one_that_leaves_in_order_leaves_its_shards_at_once(database) -> None:
    async with open_replica(database.url) as one:
        async with open_replica(database.url) as two:
            await until(lambda: shared_out(one, two), what="equal parts")
        await until(lambda: len(one.parts.shards.held()) == SHARDS, what="all shards")
        await until(lambda: one.parts.shards.alone, what="to be alone")


async def test_a_run_is_given_by_one_replica_and_delivered_by_the_other(
    pair: tuple[Replica, Replica],
) -> None:
    async with new_world(pair[0]) as world:
        owner, other = await owner_and_other(pair, world)
        agent = await world.agent(replica=other)
        await agent.connect(renew_every=0.2)
        run = await world.create_run()
        await agent.assigned(run)
        await agent.report(run, 1, 1, [starting(), started()])
        await owner.log.execute(world.ws, CancelRun(run), actor="test")
        await agent.wait_for("cancel")
        await agent.report(run, 1, 3, [exited(4)])
        await world.until_status(run, "cancelled")


async def test_a_session_moves_between_replicas(pair: tuple[Replica, Replica]) -> None:
    async with new_world(pair[0]) as world:
        one, two = pair
        agent = await world.agent(replica=one)
        await agent.connect()
        run = await world.create_run()
        await agent.assigned(run)
        elsewhere = world.again(agent, replica=two)
        elsewhere.session = agent.session
        welcome = await elsewhere.connect((run, 1, 0, True))
        assert welcome.resumed
        # The stream that is left behind is cut by what the first replica reads.
        assert (await agent.until_ended()).code is grpc.StatusCode.ABORTED
        sql = "SELECT replica, status FROM session WHERE session = %s"
        assert await world.row(sql, agent.session) == (two.id, "open")
        second = await world.create_run()
        await elsewhere.assigned(second)


async def test_when_one_dies_the_other_takes_over_and_the_dead_ones_grants_are_refused(
    pair: tuple[Replica, Replica],
) -> None:
    async with new_world(pair[0]) as world:
        owner, survivor = await owner_and_other(pair, world)
        shard = await shard_of(world)
        old_epoch = owner.parts.shards.epoch_of(shard)
        assert old_epoch is not None
        await owner.freeze()
        # Accepted while nobody dispatches: the one that takes over finds it.
        run = await world.create_run()
        agent = await world.agent(replica=survivor)
        await agent.connect(renew_every=0.2)
        assign = await agent.assigned(run)
        new_epoch = survivor.parts.shards.epoch_of(shard)
        assert new_epoch is not None
        assert new_epoch > old_epoch
        assert len(survivor.parts.shards.held()) == SHARDS
        second = await world.create_run()
        with pytest.raises(StaleShard):
            await owner.log.execute(
                world.ws, GrantRun(second, agent.session, old_epoch), actor="stale"
            )
        await agent.assigned(second)
        await agent.complete(assign)
        await world.until_status(run, "completed")


async def test_a_replica_that_cannot_renew_trusts_its_shards_no_longer(database) -> None:
    async with open_replica(database.url) as replica:
        assert replica.parts.shards.held()
        await replica.freeze()
        await until(lambda: not replica.parts.shards.held(), what="the end of the trust")


async def test_after_a_take_over_agents_get_time_to_come_back(
    pair: tuple[Replica, Replica],
) -> None:
    async with new_world(pair[0]) as world:
        owner, survivor = await owner_and_other(pair, world)
        agent = await world.agent(replica=owner)
        await agent.connect()
        run = await world.create_run()
        await agent.assigned(run)
        await agent.report(run, 1, 1, [starting(), started()])
        shard = await shard_of(world)
        await owner.freeze()
        await agent.cut()
        # The lease ran out while nobody watched; the new owner pushes it on instead of taking it for a loss.
        await until(lambda: shard in survivor.parts.shards.held(), what="the take-over")
        back = world.again(agent, replica=survivor)
        back.session = agent.session
        welcome = await back.connect((run, 1, 2, True), renew_every=0.2)
        assert [(a.verdict, a.last_seq) for a in welcome.attempts] == [(1, 2)]
        await back.report(run, 1, 3, [exited()])
        await world.until_status(run, "completed")
        kinds = await world.rows("SELECT type FROM event WHERE type = 'SessionLost'")
        assert kinds == []


async def test_nothing_that_another_replica_commits_stays_unseen(
    pair: tuple[Replica, Replica],
) -> None:
    async with new_world(pair[0]) as world:
        owner, other = await owner_and_other(pair, world)
        agent = await world.agent(replica=owner, slots=10)
        await agent.connect(renew_every=0.2)
        runs = []
        for _ in range(10):
            run = await world.create_run()
            runs.append(run)
            # Half of them by way of each replica.
            world.replica = other if world.replica is owner else owner

        async def all_given() -> bool:
            given = {assign.attempt.run for assign in agent.heard("assign")}
            return given == {run.bytes for run in runs}

        await until_async(all_given, what="ten assignments")
