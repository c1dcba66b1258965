"""The agent's loops against a control plane over a real socket."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headway_agent.connection.errors import Failure, Reaction
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


async def test_facts_go_on_after_a_cut_from_the_last_stored_one(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    async with running_agent(server, runner) as agent:
        await agent.opened()
        for round_ in range(5):
            runner.write(held, *(call(round_ * 100 + n) for n in range(100)))
            await server.until(lambda r=round_: server.stored(attempt).last_seq >= r * 100 + 10)
            server.stream.cut()
            await server.until(lambda r=round_: len(server.streams) >= r + 2)
        await server.until(lambda: server.stored(attempt).last_seq == 500)
        await agent.drain()
    assert call_numbers(server.stored(attempt).facts) == list(range(500))
    assert len({s.hello.session for s in server.streams if s.hello}) == 1


async def test_a_lost_ack_costs_nothing(server: FakeControlPlane, runner: FakeRunner) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    server.lose_acks = 1
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        run_to_end(runner, held, 5)
        await server.until(lambda: server.stored(attempt).exited)
        assert held.state != "closed"
        server.stream.cut()
        await runner.until(lambda: held.state == "closed")
    assert server.stored(attempt).duplicates == 0
    assert server.stored(attempt).last_seq == 9


async def test_a_grant_that_comes_twice_starts_once(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt, newer = (str(uuid4()), 2), (str(uuid4()), 1)
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        for _ in range(3):
            server.assign(attempt)
        server.stream.send(
            assign=wire.Assign(
                attempt=wire.AttemptRef(run=server.grants[attempt].attempt.run, fence=1)
            )
        )
        server.assign(newer)
        await runner.until(lambda: len(runner.started) == 2)
    assert [tuple(a.key) for a in runner.started] == [attempt, newer]


async def test_a_fenced_attempt_is_ended_and_its_rest_kept_as_late(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        runner.write(held, STARTING, call(0))
        await server.until(lambda: server.stored(attempt).last_seq == 2)
        server.fences[attempt[0]] = 2
        runner.write(held, call(1))
        await runner.until(lambda: held.state == "closed")
    stored = server.stored(attempt)
    assert [tuple(k) for k in runner.killed] == [attempt]
    assert stored.last_seq == 2
    assert [f.type for f in stored.late] == ["CallEnded", "AttemptExited"]


async def test_an_attempt_fenced_while_away_is_ended_on_return(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    runner.write(held, STARTING)
    server.fences[attempt[0]] = 3
    async with running_agent(server, runner):
        await runner.until(lambda: held.state == "closed")
    assert [tuple(k) for k in runner.killed] == [attempt]
    assert {f.type for f in server.stored(attempt).late} == {"AttemptStarting", "AttemptExited"}


async def test_an_unknown_run_is_ended_and_reported_no_more(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    server.unknown.add(attempt[0])
    async with running_agent(server, runner):
        await runner.until(lambda: held.state == "closed")
    assert [tuple(k) for k in runner.fenced_keys] == [attempt]


async def test_a_gap_is_filled(server: FakeControlPlane, runner: FakeRunner) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    forgotten = iter([True])

    def forgets_once(said: wire.AttemptFacts) -> wire.AttemptAck | None:
        if said.first_seq > 1 and next(forgotten, False):
            # As after a restore with a loss: what was acknowledged is gone.
            server.stored(attempt).facts.clear()
            return wire.AttemptAck(attempt=said.attempt, verdict=wire.VERDICT_GAP, last_seq=0)
        return None

    server.on_facts = forgets_once
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        runner.write(held, *(call(n) for n in range(10)))
        await server.until(lambda: server.stored(attempt).last_seq == 10)
        run_to_end(runner, held, 3)
        await runner.until(lambda: held.state == "closed")
    assert call_numbers(server.stored(attempt).facts) == [*range(10), *range(3)]


async def test_a_poisonous_fact_is_replaced_and_the_rest_goes_on(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)

    def poison(said: wire.AttemptFacts) -> wire.AttemptAck | None:
        for place, fact in enumerate(said.facts):
            if fact.type == "CallEnded" and decode(fact).started_at_us == 3:
                stored = server.stored(attempt)
                stored.facts.extend(said.facts[:place])
                return wire.AttemptAck(
                    attempt=said.attempt,
                    verdict=wire.VERDICT_POISON,
                    last_seq=said.first_seq + place - 1,
                    reason="too odd",
                )
        return None

    server.on_facts = poison
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        run_to_end(runner, held, 6)
        await runner.until(lambda: held.state == "closed")
    stored = server.stored(attempt)
    assert call_numbers(stored.facts) == [0, 1, 2, 4, 5]
    dropped = decode(stored.facts[5])
    assert (stored.facts[5].type, dropped.type, dropped.reason) == (
        "FactDropped",
        "CallEnded",
        "too odd",
    )


async def test_retry_waits_as_long_as_it_is_told(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    busy = iter([True, True])
    server.on_facts = lambda said: (
        wire.AttemptAck(
            attempt=said.attempt, verdict=wire.VERDICT_RETRY, last_seq=0, retry_after_ms=50
        )
        if next(busy, False)
        else None
    )
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        run_to_end(runner, held, 2)
        await runner.until(lambda: held.state == "closed")
    assert call_numbers(server.stored(attempt).facts) == [0, 1]


async def test_credits_are_kept(server: FakeControlPlane, runner: FakeRunner) -> None:
    server.hold_acks = True
    attempts = [(str(uuid4()), 1) for _ in range(3)]
    many = [runner.holds(*a) for a in attempts]
    async with running_agent(server, runner) as agent:
        await agent.opened()
        for held in many:
            for n in range(300):
                error = {"class": "E", "message": f"{n}" + "x" * 4_000, "traceback": []}
                runner.write(held, call(n, outcome="failed", error=error))
            runner.write(held, EXITED)
        await server.until(lambda: server.stream.unacked_bytes > 300_000)
        server.release_acks()
        await runner.until(lambda: all(h.state == "closed" for h in many))
        assert 300_000 < server.stream.most_unacked_bytes <= 512 * 1024
        assert server.stream.most_unacked_facts <= server.credit_facts
        for message in server.received:
            if message.HasField("facts"):
                assert sum(len(a.facts) for a in message.facts.attempts) <= 256
                assert message.ByteSize() <= 256 * 1024
    for attempt in attempts:
        assert call_numbers(server.stored(attempt).facts) == list(range(300))


async def test_a_control_plane_that_never_reads_is_left(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    server.ttl_ms, server.renew_interval_ms = 1_200, 200
    server.answer_renewals = False
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        server.silent = True
        run_to_end(runner, held, 500)
        # It gives the dumb stream up, and the next one brings everything.
        await server.until(lambda: len(server.streams) >= 2)
        server.silent, server.answer_renewals = False, True
        await runner.until(lambda: held.state == "closed")
    assert call_numbers(server.stored(attempt).facts) == list(range(500))
    assert runner.killed == []


async def test_an_outage_of_the_control_plane_ends_no_run(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    server.ttl_ms, server.renew_interval_ms = 400, 100
    attempts = [(str(uuid4()), 1) for _ in range(3)]
    many = [runner.holds(*a) for a in attempts]
    async with running_agent(server, runner) as agent:
        await server.until(lambda: server.streams)
        for held in many:
            runner.write(held, STARTING, STARTED)
        port = server.port
        await server.stop()
        for held in many:
            runner.write(held, *(call(n) for n in range(2_000)))
        # The lease is long gone when it comes back.
        lease_over = agent.hub.session.lease.trusted_until
        await agent.until(lambda: agent.hub.clock.boottime() > lease_over + 0.3)
        await server.start(port)
        for held in many:
            runner.write(held, ENDED, EXITED)
        await runner.until(lambda: all(h.state == "closed" for h in many))
    assert runner.killed == runner.fenced_keys == runner.cancelled == []
    for attempt in attempts:
        stored = server.stored(attempt)
        assert call_numbers(stored.facts) == list(range(2_000))
        assert stored.exited


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

    async def slowly(assignment: Any) -> None:
        if tuple(assignment.key) == slow:
            await gate.wait()
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
