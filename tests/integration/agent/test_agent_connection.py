"""The agent's loops against a control plane over a real socket."""

from typing import Any
from uuid import UUID, uuid4

from headway_api.agent.v1 import agent_service_pb2 as wire
from support.agent_talk import (
    ENDED,
    EXITED,
    STARTED,
    STARTING,
    call,
    call_numbers,
    run_to_end,
    runner,
    server,
)
from support.agent_under_test import running_agent
from support.fake_control_plane import FakeControlPlane, decode, ref
from support.fake_runner import FakeRunner

__all__ = ["runner", "server"]


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


def assign_of(attempt: tuple[str, int], **more: Any) -> wire.SessionResponse:
    assign = wire.Assign(attempt=ref(attempt), entrypoint="flows:flow", **more)
    return wire.SessionResponse(assign=assign)


async def test_several_messages_in_one_are_heard_one_after_another(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    attempts = [(str(uuid4()), 1) for _ in range(3)]
    other = (str(uuid4()), 1)
    forgotten = str(uuid4())
    async with running_agent(server, runner, slots=4) as agent:
        await agent.opened()
        assert "several" in server.stream.hello.capabilities
        together = [
            wire.SessionResponse(variables=wire.Variables(version=1)),
            *map(assign_of, attempts),
            wire.SessionResponse(forget=wire.Forget(run=UUID(forgotten).bytes)),
            wire.SessionResponse(),  # of a kind that this version does not know
        ]
        server.stream.send(several=wire.Several(messages=together))
        await runner.until(lambda: len(runner.started) == 3)
        await runner.until(lambda: runner.forgotten == [forgotten])
        server.stream.send(several=wire.Several())
        server.assign(other)
        await runner.until(lambda: len(runner.started) == 4)
        assert [a.key for a in runner.started] == [*attempts, other]
        assert len(server.streams) == 1
        await agent.drain()


async def test_what_cannot_be_read_among_several_costs_the_stream_and_no_run(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    """As if it had come alone: what stood before it is taken, what stood behind it comes again on the next stream."""
    first, behind = [(str(uuid4()), 1) for _ in range(2)]
    async with running_agent(server, runner, slots=4) as agent:
        await agent.opened()
        broken = wire.SessionResponse(forget=wire.Forget(run=b"short"))
        together = [assign_of(first), broken, assign_of(behind)]
        server.grants[behind] = together[2].assign
        server.fences[behind[0]] = 1
        server.stream.send(several=wire.Several(messages=together))
        await server.until(lambda: len(server.streams) == 2)
        await runner.until(lambda: len(runner.started) == 2)
        assert [a.key for a in runner.started] == [first, behind]
        await agent.drain()


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
