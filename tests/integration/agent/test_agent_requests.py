"""What an agent is asked over its stream: cancel, forget, drain, slots, another clock, and what it can't read."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headway_agent.connection.errors import Failure, Reaction
from headway_api.agent.v1 import agent_service_pb2 as wire
from support.agent_talk import (
    EXITED,
    STARTED,
    STARTING,
    call,
    call_numbers,
    run_to_end,
    runner,
    server,
)
from support.agent_under_test import SkewedClock, running_agent
from support.fake_control_plane import FakeControlPlane, key
from support.fake_runner import FakeRunner

__all__ = ["runner", "server"]


async def test_cancel_reaches_the_supervisor_once(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        server.assign(attempt)
        server.cancel(attempt)
        server.cancel(attempt)
        await runner.until(lambda: runner.cancelled)
        server.stream.cut()
        await server.until(lambda: len(server.streams) == 2)
        await runner.until(lambda: runner.resumed)
    assert [tuple(k) for k in runner.cancelled] == [attempt]


async def test_forget_and_drain_requests_are_followed(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    run = uuid4()
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        server.stream.send(forget=wire.Forget(run=run.bytes))
        await runner.until(lambda: runner.forgotten)
        server.stream.send(drain=wire.Drain(reconnect_after_ms=20))
        await server.until(lambda: len(server.streams) == 2)
    assert runner.forgotten == [str(run)]


async def test_a_drain_hands_running_attempts_over(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    async with running_agent(server, runner) as agent:
        await server.until(lambda: server.streams)
        runner.write(held, STARTING)
        await server.until(lambda: server.stored(attempt).last_seq == 1)
        await agent.drain()
        await server.until(lambda: server.received[-1].HasField("goodbye"))
    assert [m.slots.slots for m in server.received if m.HasField("slots")] in ([], [0])
    assert server.received[-1].goodbye.handover
    assert runner.killed == runner.cancelled == []


async def test_a_waiting_drain_ends_with_the_last_attempt(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    async with running_agent(server, runner) as agent:
        await server.until(lambda: server.streams)
        draining = asyncio.create_task(agent.drain(wait=True))
        await server.until(lambda: any(m.HasField("slots") for m in server.received))
        run_to_end(runner, held, 2)
        await draining
    assert held.state == "closed"
    assert not server.received[-1].goodbye.handover


@pytest.mark.parametrize("skew_s", [-7_200, 7_200])
async def test_a_wrong_clock_is_corrected(
    server: FakeControlPlane, runner: FakeRunner, skew_s: int
) -> None:
    clock = SkewedClock(skew_s * 1_000_000)
    async with running_agent(server, runner, clock=clock):
        await server.until(lambda: server.streams)


async def test_a_refused_identity_ends_the_agent_with_advice(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    async def refused() -> None:
        async with running_agent(server, runner) as agent:
            await server.until(lambda: server.streams)
            server.keys.clear()
            server.stream.cut()
            await asyncio.wait({agent.task}, timeout=10)

    with pytest.raises(Failure, match="enrol") as caught:
        await refused()
    assert caught.value.reaction is Reaction.REENROL


async def test_held_attempts_are_told_in_hello(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 4)
    held = runner.holds(*attempt)
    runner.write(held, STARTING, STARTED)
    async with running_agent(server, runner, slots=9):
        await server.until(lambda: server.streams)
        hello = server.stream.hello
        assert hello is not None
        assert [(key(h.attempt), h.last_seq, h.alive) for h in hello.held] == [(attempt, 2, True)]
        assert hello.slots == 9


async def test_grants_beyond_the_slots_wait(server: FakeControlPlane, runner: FakeRunner) -> None:
    first, second = (str(uuid4()), 1), (str(uuid4()), 1)
    async with running_agent(server, runner, slots=1):
        await server.until(lambda: server.streams)
        server.assign(first)
        server.assign(second)
        await runner.until(lambda: runner.started)
        assert [tuple(a.key) for a in runner.started] == [first]
        run_to_end(runner, runner.holds(*first), 0)
        await runner.until(lambda: len(runner.started) == 2)
    assert tuple(runner.started[1].key) == second


async def test_a_grant_that_cannot_be_read_stops_nothing(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    odd, good = uuid4(), (str(uuid4()), 1)
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        reference = wire.AttemptRef(run=odd.bytes, fence=1)
        for parameters in (b"[1]", b"{", b"\xff"):
            server.stream.send(assign=wire.Assign(attempt=reference, parameters=parameters))
        server.stream.send(assign=wire.Assign(attempt=wire.AttemptRef(run=b"short", fence=1)))
        server.assign(good)
        await runner.until(lambda: runner.started)
        # What has no such way out costs the stream, and no more.
        server.stream.send(forget=wire.Forget(run=b"short"))
        await server.until(lambda: len(server.streams) == 2)
    assert [tuple(a.key) for a in runner.started] == [good]


async def test_a_file_that_cannot_be_read_holds_up_no_other(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    broken, sound = (runner.holds(str(uuid4())) for _ in range(2))
    runner.unreadable.add(broken.key)
    async with running_agent(server, runner) as agent:
        await agent.opened()
        for held in (broken, sound):
            run_to_end(runner, held, 3)
        await runner.until(lambda: sound.state == "closed")
        assert server.stored(tuple(broken.key)).last_seq == 0
        runner.unreadable.clear()
        runner.news.set()
        await runner.until(lambda: broken.state == "closed")


async def test_a_full_disk_is_waited_out(
    server: FakeControlPlane, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway_agent.loops.faults.PAUSE_S", 0.01)
    runner.failing_writes = 5
    held = runner.holds(str(uuid4()))
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        run_to_end(runner, held, 3)
        await runner.until(lambda: held.state == "closed")
    assert runner.failing_writes == 0


async def test_the_tap_shows_all_that_is_sent(
    server: FakeControlPlane, runner: FakeRunner, tmp_path: Path
) -> None:
    held = runner.holds(str(uuid4()))
    tap = tmp_path / "tap.jsonl"
    async with running_agent(server, runner, tap=tap):
        await server.until(lambda: server.streams)
        runner.print(held, "a line")
        error = {"class": "E", "message": "why", "traceback": []}
        runner.write(held, call(1, outcome="failed", error=error), EXITED)
        await runner.until(lambda: held.state == "closed")
    sent = [json.loads(line)["sent"] for line in tap.read_text().splitlines()]
    assert len(sent) == len(server.received)
    assert next(iter(sent[0])) == "hello"
    facts = [f for s in sent if "facts" in s for a in s["facts"]["attempts"] for f in a["facts"]]
    assert facts[0]["payload"]["name"] == "task-1"
    assert '"why"' in json.dumps(sent).replace("\\", "")
    (lines,) = [s["logs"]["content"] for s in sent if "logs" in s]
    assert json.loads(lines[0])["text"] == "a line"
    assert tap.stat().st_mode & 0o077 == 0


async def test_a_slow_start_takes_its_slot_and_its_cancel_follows(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    slow, next_one = (str(uuid4()), 1), (str(uuid4()), 1)
    gate = asyncio.Event()
    start = runner.start

    unwanted: list[bool] = []

    async def slowly(assignment: Any, cancelled: Callable[[], bool]) -> None:
        if tuple(assignment.key) == slow:
            await gate.wait()
        unwanted.append(cancelled())
        await start(assignment)

    runner.start = slowly  # type: ignore[method-assign]
    async with running_agent(server, runner, slots=1) as agent:
        await agent.opened()
        server.assign(slow)
        server.assign(slow)
        server.assign(next_one)
        server.cancel(slow)
        await agent.until(lambda: agent.hub.session.deferred == (next_one,))
        runner.news.set()
        server.stream.send(drain=wire.Drain(reconnect_after_ms=60_000))
        await agent.until(lambda: agent.hub.session.move_at is not None)
        assert runner.started == runner.cancelled == []
        gate.set()
        await runner.until(lambda: runner.cancelled)
        assert [tuple(k) for k in runner.cancelled] == [slow]
        run_to_end(runner, runner.holds(*slow), 0)
        await runner.until(lambda: len(runner.started) == 2)
    assert [tuple(a.key) for a in runner.started] == [slow, next_one]
    assert unwanted == [True, False]


async def test_a_log_that_lost_events_gets_again_what_the_agent_keeps(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    """Attempts that were closed because everything was acknowledged are opened anew and offered again."""
    attempt = (str(uuid4()), 1)
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        server.assign(attempt)
        await runner.until(lambda: runner.started)
        held = runner.holds(*attempt)
        run_to_end(runner, held, 3)
        await runner.until(lambda: held.state == "closed")
        server.lose_tail(attempt, after=2, epoch=2)
        await server.until(lambda: server.stored(attempt).exited)
        await runner.until(lambda: held.state == "closed")
        assert server.stream.hello is not None
        assert server.stream.hello.epoch == 2
        assert call_numbers(server.stored(attempt).facts) == [0, 1, 2]
