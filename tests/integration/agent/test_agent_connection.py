"""The agent's loops against a control plane over a real socket."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from headway_api.agent.v1 import agent_service_pb2 as wire
from support.agent_under_test import SkewedClock, running_agent
from support.fake_control_plane import FakeControlPlane, decode, key
from support.fake_runner import FakeAttempt, FakeRunner


@pytest.fixture
async def server() -> AsyncIterator[FakeControlPlane]:
    server = FakeControlPlane(now=time.time)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def runner() -> FakeRunner:
    return FakeRunner()


def call(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "call.ended",
        "call": f"{number:032x}",
        "parent": "root",
        "kind": "task",
        "name": f"task-{number}",
        "started_at_us": number,
        "outcome": "completed",
        "tries": 1,
        **more,
    }


STARTING = {"type": "attempt.starting", "pid": 7, "sdk": "0.1.0"}
STARTED = {"type": "attempt.started", "pid": 8, "python": "3.11.7"}
ENDED = {
    "type": "attempt.ended",
    "outcome": "completed",
    "result": {"codec": "json", "size": 2, "digest": "ab" * 32, "data": "42"},
}
EXITED = {"type": "attempt.exited", "outcome": "completed", "exit_code": 0, "cause": "", "lines": 0}


def run_to_end(runner: FakeRunner, attempt: FakeAttempt, calls: int) -> None:
    runner.write(attempt, STARTING, STARTED, *(call(n) for n in range(calls)), ENDED, EXITED)


def call_numbers(facts: list[wire.Fact]) -> list[int]:
    return [decode(f).started_at_us for f in facts if f.type == "CallEnded"]


async def test_a_grant_is_executed_reported_and_closed(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    async with running_agent(server, runner) as agent:
        await server.until(lambda: server.streams)
        server.assign(attempt, parameters={"day": 1})
        await runner.until(lambda: runner.started)
        assert runner.started[0].parameters == {"day": 1}
        held = runner.holds(*attempt)
        run_to_end(runner, held, 3)
        await runner.until(lambda: held.state == "closed")
        stored = server.stored(attempt)
        assert stored.exited
        assert decode(stored.facts[-1]).result.digest == bytes.fromhex("ab" * 32)
        await server.until(lambda: agent.witnesses.seen)
        assert agent.witnesses.seen[-1].offset == server.offset
        await agent.drain()
    goodbye = server.received[-1].goodbye
    assert goodbye.reason == "drained"
    assert not goodbye.handover
