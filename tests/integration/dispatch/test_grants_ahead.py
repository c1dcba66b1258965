"""Grants in the flush that makes them possible: of the run that it creates, of the slot that it frees."""

import json
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from headway_control_plane.domain.errors import Conflict
from headway_control_plane.domain.streams import Blob
from support.fake_agent import exited, started, starting
from support.replica import World, new_world, open_replica

pytestmark = pytest.mark.postgres


@pytest.fixture
async def world(database) -> AsyncIterator[World]:
    async with open_replica(database.url) as replica, new_world(replica) as made:
        yield made


async def recorded(world: World, run, *types: str) -> dict:
    sql = 'SELECT type, recorded_at FROM event WHERE stream_id = %s ORDER BY "offset"'
    return {type_: at for type_, at in await world.rows(sql, run) if type_ in types}


async def one_by_one(world: World, slots: int = 1):
    """An agent that has had a run, so that deployment and pool are known."""
    agent = await world.agent(slots=slots)
    await agent.connect()
    await agent.complete(await agent.assigned(await world.create_run()))
    return agent


async def test_a_run_is_granted_in_the_flush_that_creates_it(world: World) -> None:
    agent = await one_by_one(world)
    run = await world.create_run()
    assert await world.status(run) == "pending"
    at = await recorded(world, run, "RunCreated", "RunGranted")
    assert at["RunCreated"] == at["RunGranted"]
    await agent.complete(await agent.assigned(run))
    assert await world.status(run) == "completed"


async def test_a_run_granted_ahead_leaves_the_rows_of_any_other(world: World) -> None:
    agent = await one_by_one(world)
    given = {"labels": Blob.of(json.dumps({"name": "nightly", "tags": ["a", "b"]}).encode())}
    ahead = await world.create_run(**given)
    waiting = await world.create_run(**given)
    assert [await world.status(run) for run in (ahead, waiting)] == ["pending", "scheduled"]
    await agent.complete(await agent.assigned(ahead))
    await agent.complete(await agent.assigned(waiting))
    rows = [
        await world.rows("SELECT tag FROM run_tag WHERE run = %s ORDER BY tag", run)
        for run in (ahead, waiting)
    ]
    assert rows == [[("a",), ("b",)]] * 2
    assert await differences(world, ahead, waiting) == {}


async def differences(world: World, *runs: UUID) -> dict[str, list[list[tuple[str, ...]]]]:
    """Of each table that names runs: the columns that two runs' rows have values in, where these are not the same ones."""
    named = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'headway' AND column_name = 'run'"
    found = {}
    for (table,) in await world.rows(named):
        filled = f"SELECT ARRAY(SELECT key FROM jsonb_each(to_jsonb(t)) WHERE value <> 'null' ORDER BY key) FROM \"{table}\" t WHERE run = %s"
        sets = [sorted(tuple(keys) for (keys,) in await world.rows(filled, run)) for run in runs]
        if sets[0] != sets[1]:
            found[table] = sets
    return found


async def test_a_slot_goes_to_the_next_in_the_flush_that_frees_it(world: World) -> None:
    agent = await one_by_one(world)
    first, second = await world.create_run(), await world.create_run()
    assert await world.status(second) == "scheduled"
    await agent.complete(await agent.assigned(first))
    ended = await recorded(world, first, "RunCompleted")
    granted = await recorded(world, second, "RunGranted")
    assert ended["RunCompleted"] == granted["RunGranted"]
    assert (await agent.assigned(second)).attempt.fence == 1


async def test_a_run_that_is_not_created_leaves_its_slot(world: World) -> None:
    agent = await one_by_one(world)
    for _ in range(3):
        with pytest.raises(Conflict):
            await world.create_run(deployment_version=7)
    run = await world.create_run()
    await agent.complete(await agent.assigned(run))
    await world.until_status(run, "completed")


async def test_an_attempt_that_does_not_end_keeps_its_slot(world: World) -> None:
    """Its last fact comes out of order: nothing is taken of it, and nobody gets its slot."""
    agent = await one_by_one(world)
    first, second = await world.create_run(), await world.create_run()
    await agent.assigned(first)
    ack = await agent.report(first, 1, 5, [exited()])
    assert ack.last_seq == 0
    assert await world.status(second) == "scheduled"
    await agent.report(first, 1, 1, [starting(), started(), exited()])
    await agent.complete(await agent.assigned(second))
    assert await world.status(second) == "completed"


async def test_a_full_house_stays_full(world: World) -> None:
    """Many runs over few slots, ended in company: no session ever holds more than it has slots for."""
    agent = await one_by_one(world, slots=3)
    runs = [await world.create_run() for _ in range(12)]
    for n in range(0, 12, 3):
        held = await world.rows("SELECT run FROM attempt WHERE status <> 'closed'")
        assert {run for (run,) in held} == set(runs[n : n + 3])
        for run in runs[n : n + 3]:
            await agent.complete(await agent.assigned(run))
    assert {await world.status(run) for run in runs} == {"completed"}
