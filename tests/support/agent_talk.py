"""What tests of an agent's stream have in common: both ends of it as fixtures, and the frames of a short run."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headway_api.agent.v1 import agent_service_pb2 as wire
from support.fake_control_plane import FakeControlPlane, decode
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
