"""A run whose start nobody was heard of while we were away may have started: its agent gets the time to say so."""

from dataclasses import replace

import pytest

from headway_control_plane.domain.commands import CancelRun
from support.fake_agent import exited, started, starting
from support.replica import (
    FAST,
    Replica,
    World,
    fast_settings,
    new_world,
    open_replica,
    seconds,
)

pytestmark = pytest.mark.postgres

SETTINGS = fast_settings(replace(FAST, start_timeout=seconds(60)))


def at(replica: Replica, world: World) -> World:
    return replace(world, replica=replica, agents=[])


async def test_a_start_that_fell_into_our_absence_is_not_repeated(database) -> None:
    async with (
        open_replica(database.url, SETTINGS) as replica,
        new_world(replica, cancel_grace_ms=0, kill_grace_ms=0) as world,
    ):
        agent = await world.agent()
        await agent.connect(renew_every=0.2)
        run, cancelled = await world.create_run(), await world.create_run()
        await agent.assigned(run)
        await agent.assigned(cancelled)
        await world.execute(CancelRun(cancelled))
        await agent.cut()
    with database.connect() as connection:
        connection.execute("UPDATE headway.timer SET due_at = clock_timestamp() - interval '1 s'")
    patient = replace(SETTINGS.sweeper.policy, reconnect_grace=seconds(60))
    long_rest = replace(SETTINGS, sweeper=replace(SETTINGS.sweeper, policy=patient))
    async with open_replica(database.url, long_rest) as back:
        world = at(back, world)
        try:
            heir = await world.agent()
            await heir.connect(renew_every=0.2)
            # The sweeper has looked: this deadline is nobody's chance to repeat anything.
            await world.until_status(cancelled, "cancelled")
            returned = world.again(agent)
            await returned.connect((run, 1, 3, True))
            await returned.report(run, 1, 1, [starting(), started(), exited()])
            await world.until_status(run, "completed")
            assert not heir.heard("assign")
        finally:
            for one in world.agents:
                await one.close()
