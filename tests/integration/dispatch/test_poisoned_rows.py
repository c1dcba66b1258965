"""A row that nothing can work with stops its own run or workspace, nobody else's; once it is mended, that goes on without a restart."""

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import psycopg
import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from support.fake_agent import started, starting
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


@asynccontextmanager
async def neighbours(database, settings=None, *, apart=False):
    """A replica, a workspace to be poisoned, and another beside it; `apart`: in another shard."""
    async with AsyncExitStack() as stack:
        replica = await stack.enter_async_context(open_replica(database.url, settings))
        ill = await stack.enter_async_context(new_world(replica, name="ill"))
        while True:
            well = await stack.enter_async_context(new_world(replica, name="well"))
            if not apart or await shard_of(well) != await shard_of(ill):
                break
        yield replica, ill, well


async def shard_of(world) -> int:
    return (await world.row("SELECT shard FROM workspace"))[0]


async def write(database, sql: str, *parameters) -> None:
    """As an operator would, past all that our code would allow."""
    async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as connection:
        await connection.execute("SET search_path = headway")
        await connection.execute(sql, parameters)


async def complete_one(world) -> None:
    """A run from its creation to its end."""
    agent = await world.agent()
    await agent.connect(renew_every=0.2)
    run = await world.create_run()
    await agent.complete(await agent.assigned(run, fence=1))
    await world.until_status(run, "completed")


async def test_a_workspace_that_cant_be_loaded_is_dispatched_again_once_it_can(database) -> None:
    async with neighbours(database) as (replica, ill, well):
        dispatcher = replica.parts.dispatcher
        run = await ill.create_run()
        await write(database, "UPDATE run SET due_at = 'infinity' WHERE run = %s", run)
        dispatcher.on_hint(await shard_of(ill))
        await until(lambda: len(dispatcher.quarantine) == 1, what="the workspace is set aside")
        await complete_one(well)
        agent = await ill.agent()
        await agent.connect(renew_every=0.2)
        await write(database, "UPDATE run SET due_at = created_at WHERE run = %s", run)
        await agent.complete(await agent.assigned(run, fence=1))
        await ill.until_status(run, "completed")
        await until(lambda: len(dispatcher.quarantine) == 0, what="it is set free")


async def test_a_run_that_breaks_its_command_stops_no_other_deadline(database) -> None:
    settings = fast_settings(replace(FAST, start_timeout=seconds(0.4)))
    async with neighbours(database, settings) as (replica, ill, well):
        sweeper = replica.parts.sweeper
        runs = {}
        for world in (ill, well):
            agent = await world.agent()
            await agent.connect(renew_every=0.2)
            runs[world.ws] = agent, await world.create_run()
            await agent.assigned(runs[world.ws][1], fence=1)
            if world is ill:
                sql = "UPDATE run SET on_lost = 'of another world' WHERE run = %s"
                await write(database, sql, runs[ill.ws][1])
        agent, run = runs[well.ws]
        await agent.assigned(run, fence=2)
        await until(lambda: len(sweeper.quarantine) == 1, what="the run is set aside")
        agent, run = runs[ill.ws]
        told = await agent.report(run, 1, 1, [starting(), started()])
        assert told.verdict == pb.VERDICT_RETRY, "facts are asked for again, not dropped"
        await write(database, "UPDATE run SET on_lost = 'retry' WHERE run = %s", run)
        again = await agent.report(run, 1, 1, [starting(), started()])
        if again.verdict == pb.VERDICT_FENCED:  # the deadline was faster
            await agent.assigned(run, fence=2)
        else:
            assert again.verdict == pb.VERDICT_OK


async def test_a_timer_that_cant_be_read_rests_with_its_shard(database) -> None:
    settings = fast_settings(replace(FAST, start_timeout=seconds(0.4)))
    async with neighbours(database, settings, apart=True) as (replica, ill, well):
        sweeper = replica.parts.sweeper
        agent = await ill.agent()
        await agent.connect(renew_every=0.2)
        run = await ill.create_run()
        await write(database, "UPDATE timer SET due_at = '-infinity' WHERE ws = %s", ill.ws)
        while len(sweeper.unreadable) == 0:
            # The grant's own timer takes the place of one that was there before.
            await write(database, "UPDATE timer SET due_at = '-infinity' WHERE ws = %s", ill.ws)
            await until_async(lambda: settled(ill, sweeper), what="a timer, or its shard set aside")
        other = await well.agent()
        await other.connect(renew_every=0.2)
        slow = await well.create_run()
        await other.assigned(slow, fence=1)
        await other.assigned(slow, fence=2)
        await write(database, "UPDATE timer SET due_at = headway_now() WHERE ws = %s", ill.ws)
        await agent.assigned(run, fence=2)


async def settled(world, sweeper) -> bool:
    timers = await world.rows("SELECT 1 FROM timer WHERE due_at > '-infinity'")
    return bool(timers) or len(sweeper.unreadable) > 0
