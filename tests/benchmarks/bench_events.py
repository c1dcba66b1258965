"""Events from an agent's stream into the log: a real gRPC socket, the real control plane, a real PostgreSQL with fsync."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent import futures
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import grpc.aio
import uvloop

from benchmarks.bench import Bench
from benchmarks.facts import ALL, BATCH, frames, log_facts
from benchmarks.raw_log import event_ids, raw_rate
from benchmarks.report import Figure, Goal
from benchmarks.usage import own_cpu, tree_cpu
from headway_agent.connection import messages
from headway_agent.connection.encoder import Encoder
from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.agent.v1 import agent_service_pb2_grpc as services
from headway_control_plane.application.ports import AttemptFacts
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log.columns import EventColumns, Head, Source
from headway_control_plane.log.facts import prepare
from support.fake_agent import Identity, ref
from support.log_fixtures import new_fleet, new_ids, open_log
from support.replica import SchedulingSettings, new_world, open_replica

SUMMARY = "events a second, durable, from agent streams to the log; CPU of each stage"
WORKSPACES = 2
AGENTS = 2  # of each workspace
IN_FLIGHT = 4  # attempts of an agent that report side by side: its credit


@dataclass(frozen=True, slots=True)
class Load:
    """What a process of agents got acknowledged, and the CPU seconds that it cost on either side."""

    events: int
    seconds: float
    sender: float
    receiver: float = 0.0
    database: float = 0.0

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    def us(self, cpu: float) -> float:
        return cpu / self.events * 1e6


def measure(bench: Bench) -> list[Figure]:
    return uvloop.run(_measure(bench))


async def _measure(bench: Bench) -> list[Figure]:
    server = bench.database("events")
    seconds = bench.size(8, 1)
    batches = bench.size(60, 2)
    inside = await _in_process(server.url, bench.size(4, 1))  # before a replica owns the shards
    raws = [await raw_rate(server.url, log_facts(), batches)]
    stream = await _from_agents(server, seconds)
    raws.append(await raw_rate(server.url, log_facts(), batches))
    null = await _null(bench.size(4, 1))
    raw = sum(r.events for r in raws) / sum(r.seconds for r in raws)
    against = {"yardstick": raw, "yardstick_is": "bare unnest, 1,000 a commit"}
    rest = stream.us(stream.receiver) - null.us(null.receiver)
    stages = ", ".join(f"{name} {us:.1f}" for name, us in _stages().items())
    return [
        Figure(
            "agent stream to log",
            "events/s",
            stream.rate,
            goal=Goal(0.25, at_least=True, of_yardstick=True),
            **against,
        ),
        Figure("the log alone, in its process", "events/s", inside, **against),
        Figure("a gRPC server that only answers", "events/s", null.rate),
        Figure("CPU: agent encodes a frame", "us", _encoding_us(bench.size(40, 1))),
        Figure("CPU: gRPC in", "us", null.us(null.receiver)),
        Figure("CPU: session, committer", "us", rest, note=f"of which: {stages}"),
        Figure("CPU: PostgreSQL", "us", stream.us(stream.database)),
        Figure("CPU: fake agents, gRPC out", "us", stream.us(stream.sender)),
    ]


async def _from_agents(server, seconds: float) -> Load:
    async with AsyncExitStack() as stack:
        replica = await stack.enter_async_context(open_replica(server.url, SchedulingSettings()))
        worlds = [
            await stack.enter_async_context(new_world(replica, name=f"team {n}"))
            for n in range(WORKSPACES)
        ]
        identities = [await world.identity() for world in worlds for _ in range(AGENTS)]

        async def create_runs() -> None:
            for world in worlds:
                for _ in range(AGENTS * IN_FLIGHT):
                    await world.create_run()

        database = tree_cpu(server.postmaster)
        load = await _load(replica.target, identities, create_runs, seconds)
        used = tree_cpu(server.postmaster) - database
        return Load(load.events, load.seconds, load.sender, load.receiver, used)


async def _load(target: str, identities: list[Identity], ready: Callable, seconds: float) -> Load:
    """Let a process of agents report to a target."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("load_agent.py")), target, str(IN_FLIGHT),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    listed = [(str(each.agent), each.key.private_bytes_raw().hex()) for each in identities]
    process.stdin.write(json.dumps(listed).encode() + b"\n")
    assert await process.stdout.readline() == b"ready\n"
    await ready()
    cpu = own_cpu()
    process.stdin.write(f"{seconds}\n".encode())
    told = json.loads(await process.stdout.readline())
    cpu = own_cpu() - cpu
    await process.communicate()
    return Load(told["events"], told["seconds"], told["cpu"], cpu)


async def _null(seconds: float) -> Load:
    """The same agents against a server that reads and answers: what gRPC alone costs."""
    async with _null_server() as target:
        identities = [Identity.new() for _ in range(WORKSPACES * AGENTS)]
        return await _load(target, identities, _nothing, seconds)


async def _nothing() -> None:
    pass


class _Null(services.AgentServiceServicer):
    async def Session(self, requests: AsyncIterator[pb.SessionRequest], context):  # noqa: N802
        async for request in requests:
            match request.WhichOneof("message"):
                case "hello":
                    yield pb.SessionResponse(welcome=pb.Welcome(protocol=1, ttl_ms=60_000))
                    for _ in range(IN_FLIGHT):
                        yield pb.SessionResponse(assign=pb.Assign(attempt=ref(uuid4(), 1)))
                case "renew":
                    yield pb.SessionResponse(renewed=pb.Renewed(id=request.renew.id))
                case "facts":
                    acks = [
                        pb.AttemptAck(attempt=a.attempt, verdict=pb.VERDICT_OK)
                        for a in request.facts.attempts
                    ]
                    yield pb.SessionResponse(ack=pb.Ack(batch_id=request.facts.id, attempts=acks))
                case _:
                    pass


@asynccontextmanager
async def _null_server() -> AsyncIterator[str]:
    server = grpc.aio.server(futures.ThreadPoolExecutor(1))
    services.add_AgentServiceServicer_to_server(_Null(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(1)


async def _in_process(url: str, seconds: float) -> float:
    """The log's rate without agents and gRPC."""
    facts = log_facts()
    async with open_log(url) as log:
        fleets = [await new_fleet(log) for _ in range(WORKSPACES)]
        runs = [(f, await f.granted_run()) for f in fleets for _ in range(AGENTS * IN_FLIGHT)]
        until = time.perf_counter() + seconds

        async def send(fleet, run) -> int:
            seq = 1
            while time.perf_counter() < until:
                verdict = await fleet.report(run, 1, seq, facts)
                assert verdict.verdict == "ok", verdict
                seq += BATCH
            return seq - 1

        begun = time.perf_counter()
        counts = await asyncio.gather(*(send(*each) for each in runs))
        return sum(counts) / (time.perf_counter() - begun)


def _encoding_us(rounds: int) -> float:
    encoder, given = Encoder(ALL), frames()

    def encode() -> None:
        facts = [encoder.encode(frame) for frame in given]
        messages.fact_batch(1, [messages.attempt_facts(("00" * 16, 1), 1, facts)])

    return _cpu_us(encode, rounds)


def _stages(rounds: int = 40) -> dict[str, float]:
    """CPU microseconds an event of what the committer does in Python."""
    ids, received = event_ids(), AttemptFacts(new_ids()(), 1, 1, log_facts())
    head = Head(1, new_ids()(), 0, 1, 0, 20_000, b"c" * 32, 1)
    prepared = prepare(received, ids)
    stream, source = Stream(StreamKind.ATTEMPT, received.run, 1), Source.of("agent/x", None, "")

    def place() -> EventColumns:
        columns = EventColumns()
        columns.append(head, stream, 1, prepared, source)
        return columns

    columns = place()
    return {
        "check, digest and pack": _cpu_us(lambda: prepare(received, ids), rounds),
        "place and chain": _cpu_us(place, rounds),
        "arrays": _cpu_us(columns.arrays, rounds),
    }


def _cpu_us(stage: Callable[[], object], rounds: int) -> float:
    begun = time.process_time()
    for _ in range(rounds):
        stage()
    return (time.process_time() - begun) / rounds / BATCH * 1e6
