"""A process of fake agents that report as fast as they are answered. Usage: load_agent.py TARGET IN_FLIGHT < agents

First line on standard input: JSON list of [agent id, private key]. Says "ready" when all streams are open, sends once
each attempt is assigned, and stops at the time in the next line, a number of seconds; then tells what was acknowledged.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.facts import BATCH, wire_facts
from benchmarks.usage import own_cpu
from headway_api.agent.v1 import agent_service_pb2 as pb
from support.fake_agent import FakeAgent, Identity, started, starting


class Sender(FakeAgent):
    """Several attempts report on one stream, which takes one message at a time."""

    def __init__(self, *given, **named) -> None:
        super().__init__(*given, **named)
        self._turn = asyncio.Lock()

    async def send(self, **message) -> None:
        async with self._turn:
            await super().send(**message)


async def main(target: str, in_flight: int) -> None:
    listed = json.loads(await asyncio.to_thread(sys.stdin.readline))
    agents = [
        Sender(
            target,
            Identity(UUID(agent), Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))),
            slots=in_flight,
        )
        for agent, key in listed
    ]
    for agent in agents:
        await agent.connect(renew_every=5)
    print("ready", flush=True)
    seconds = float(await asyncio.to_thread(sys.stdin.readline))
    work = [(agent, assign) for agent in agents for assign in await _assigned(agent, in_flight)]
    facts = wire_facts()
    for agent, assign in work:
        await agent.report(
            UUID(bytes=assign.attempt.run), assign.attempt.fence, 1, [starting(), started()]
        )
    cpu, begun = own_cpu(), time.perf_counter()
    until = begun + seconds
    counts = await asyncio.gather(*(_send(agent, assign, facts, until) for agent, assign in work))
    took = time.perf_counter() - begun
    print(json.dumps({"events": sum(counts), "seconds": took, "cpu": own_cpu() - cpu}), flush=True)
    for agent in agents:
        await agent.close()


async def _assigned(agent: FakeAgent, count: int) -> list[pb.Assign]:
    async with asyncio.timeout(30):
        while len(found := agent.heard("assign")) < count:
            await asyncio.sleep(0.01)
    return found


async def _send(agent: FakeAgent, assign: pb.Assign, facts: list[pb.Fact], until: float) -> int:
    run, fence = UUID(bytes=assign.attempt.run), assign.attempt.fence
    seq = 3
    while time.perf_counter() < until:
        number = await agent.post(run, fence, seq, facts)
        ack = await agent.acked(number)
        assert ack.attempts[0].verdict == pb.VERDICT_OK, ack
        agent.inbox[:] = [m for m in agent.inbox if m.ack.batch_id != number]
        seq += BATCH
    return seq - 3


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
