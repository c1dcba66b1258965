"""The agent's loops against the real control plane: a real log, a real database, a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headway_control_plane.domain.commands import CancelRun
from headway_control_plane.domain.run.events import OnLost
from support.agent_under_test import running_agent
from support.fake_runner import FakeAttempt, FakeRunner
from support.proxy import Proxy
from support.replica import Replica, World, new_world, open_replica, until_async

pytestmark = pytest.mark.postgres

STARTING = {"type": "attempt.starting", "pid": 7, "sdk": "0.1.0"}
STARTED = {"type": "attempt.started", "pid": 8, "python": "3.11.7"}
ENDED = {"type": "attempt.ended", "outcome": "completed"}
EXITED = {"type": "attempt.exited", "outcome": "completed", "exit_code": 0, "cause": "", "lines": 0}


def call(number: int) -> dict[str, Any]:
    return {
        "type": "call.ended",
        "call": f"{number:032x}",
        "parent": "root",
        "kind": "task",
        "name": "task",
        "started_at_us": 1,
        "outcome": "completed",
        "tries": 1,
    }


@pytest.fixture
async def replica(database: Any) -> AsyncIterator[Replica]:
    async with open_replica(database.url) as replica:
        yield replica


@pytest.fixture
async def world(replica: Replica) -> AsyncIterator[World]:
    async with new_world(replica) as world:
        yield world


@pytest.fixture
async def runner() -> FakeRunner:
    return FakeRunner()


async def begun(runner: FakeRunner, run: Any) -> FakeAttempt:
    await runner.until(lambda: any(a.key.run == str(run) for a in runner.started))
    held = next(a for a in runner.attempts.values() if a.key.run == str(run))
    runner.write(held, STARTING, STARTED)
    return held


async def facts_in_log(world: World, run: Any) -> list[int]:
    rows = await world.rows(
        "SELECT version FROM event WHERE stream_id = %s AND fence > 0 AND type LIKE 'Call%%' ORDER BY version",
        run,
    )
    return [version for (version,) in rows]


async def test_a_run_from_grant_to_forget(world: World, runner: FakeRunner) -> None:
    async with running_agent(world.replica.target, runner, token=await world.token()):
        run = await world.create_run()
        held = await begun(runner, run)
        await world.until_status(run, "running")
        runner.write(held, *(call(n) for n in range(700)), ENDED, EXITED)
        await world.until_status(run, "completed")
        await runner.until(lambda: runner.forgotten == [str(run)])
        assert runner.started[0].parameters == {"n": 1}
    assert await facts_in_log(world, run) == list(range(3, 703))


async def test_cuts_lose_and_double_nothing(world: World, runner: FakeRunner) -> None:
    host, _, port = world.replica.target.rpartition(":")
    token = await world.token()
    proxy = await asyncio.to_thread(Proxy, int(port), host)
    with contextlib.closing(proxy):
        async with running_agent(f"127.0.0.1:{proxy.port}", runner, token=token) as agent:
            run = await world.create_run()
            held = await begun(runner, run)
            for round_ in range(4):
                runner.write(held, *(call(round_ * 200 + n) for n in range(200)))
                await runner.until(lambda r=round_: held.acked_seq > r * 200)
                await asyncio.to_thread(proxy.reset)
            await agent.opened()
            runner.write(held, ENDED, EXITED)
            await world.until_status(run, "completed")
    assert await facts_in_log(world, run) == list(range(3, 803))
    assert runner.killed == runner.fenced_keys == []


async def test_cancel_and_refusal(world: World, runner: FakeRunner) -> None:
    async with running_agent(world.replica.target, runner, token=await world.token()):
        cancelled, refused = await world.create_run(), await world.create_run()
        held = await begun(runner, cancelled)
        await world.execute(CancelRun(cancelled, "enough"))
        await runner.until(lambda: runner.cancelled)
        runner.write(held, {**EXITED, "outcome": "cancelled", "cause": "cancelled"})
        await world.until_status(cancelled, "cancelled")
        await runner.until(lambda: len(runner.started) == 2)
        other = next(a for a in runner.attempts.values() if a.key.run == str(refused))
        error = {"class": "headway.EntrypointRefused", "message": "no", "traceback": []}
        runner.write(
            other, {**EXITED, "outcome": "refused", "cause": "entry point refused", "error": error}
        )
        await world.until_status(refused, "failed")


async def test_a_session_left_in_order_hands_over_to_the_next(
    world: World, runner: FakeRunner
) -> None:
    identity_token, run = await world.token(), await world.create_run()
    async with running_agent(world.replica.target, runner, token=identity_token) as agent:
        await begun(runner, run)
        await world.until_status(run, "running")
        await agent.drain()
        session = agent.hub.who.session
        await _until_session(world, session, "closed")
    assert await world.status(run) == "running"
    row = await world.row("SELECT fence FROM run WHERE run = %s", run)
    assert row is not None
    assert row[0] == 1


async def test_a_partition_longer_than_the_lease_keeps_the_attempt(
    replica: Replica, runner: FakeRunner
) -> None:
    host, _, port = replica.target.rpartition(":")
    proxy = await asyncio.to_thread(Proxy, int(port), host)
    async with new_world(replica, name="held", on_lost=OnLost.HOLD) as world:
        token = await world.token()
        with contextlib.closing(proxy):
            async with running_agent(f"127.0.0.1:{proxy.port}", runner, token=token) as agent:
                run = await world.create_run()
                held = await begun(runner, run)
                await world.until_status(run, "running")
                session = agent.hub.who.session
                await asyncio.to_thread(proxy.cut)
                runner.write(held, *(call(n) for n in range(300)))
                await _until_session(world, session, "lost")
                await asyncio.to_thread(proxy.mend)
                runner.write(held, ENDED, EXITED)
                await world.until_status(run, "completed")
        assert await facts_in_log(world, run) == list(range(3, 303))
        row = await world.row("SELECT fence FROM run WHERE run = %s", run)
        assert row is not None
        assert row[0] == 1
    assert runner.killed == runner.fenced_keys == []


async def _until_session(world: World, session: Any, status: str) -> None:
    async def reached() -> bool:
        return await world.session_status(session) == status

    await until_async(reached, what=f"session {status}")
