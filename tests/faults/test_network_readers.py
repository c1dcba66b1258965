"""Readers that stop reading: a subscriber of events and an agent. They cost a bounded amount, and nobody else anything."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import grpc
import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from support.eventually import eventually
from support.fake_agent import FakeAgent, StreamEnded, enrol, ref, starting
from support.hand_agent import make_pool
from support.load import load
from support.memory import MemoryWatch
from support.subscriber import START

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

READERS, AGENTS = 6, 2
HISTORY = 600
"""Events that each reader is owed at least: more than the sockets between it and the control plane hold."""
GROWTH = 96
BATCHES, ATTEMPTS = 3_000, 256
STUCK = 3.0
"""Seconds without progress after which a writer counts as held up."""


@pytest.mark.row(16)
@pytest.mark.trials(0, 2)
def test_readers_that_do_not_read(headway, trial, seed):
    pool = f"deaf-{seed}"
    make_pool(headway, pool)
    _write_history(headway, pool)
    with load(headway, per_second=0.5, seconds=0.05) as work, ExitStack() as readers:
        work.until_more_marks(5)
        with MemoryWatch(server=headway.part("server")) as memory:
            stuck = [readers.enter_context(closing(_subscribe(headway))) for _ in range(READERS)]
            for reader in stuck:
                eventually(lambda r=reader: _is_stuck(headway, r), what="a reader is stuck")
            trial.happened("subscriber stuck", len(stuck))
            ends = asyncio.run(_deaf_agents(headway, pool))
            work.until_more_marks(20)
        trial.happened("agent's stream ended", ends.count(grpc.StatusCode.RESOURCE_EXHAUSTED))
        trial.holds("memory", memory.beyond(GROWTH))
        wrong = {*ends} - {grpc.StatusCode.RESOURCE_EXHAUSTED}
        trial.holds("deaf agents are refused", [f"a stream ended with {code}" for code in wrong])
        trial.holds("late reading is whole", _gaps(stuck[0]))
    work.drain()
    work.judge(trial)


def _write_history(headway, pool):
    permits = headway.api("GET", f"/pools/{pool}")["permits"]

    def change(slots):
        headway.api("PUT", f"/pools/{pool}", {"permits": permits, "slots": slots})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(change, range(1, HISTORY + 1)))


def _subscribe(headway):
    """A subscriber whose side of the connection takes as little as can be asked for, and who reads nothing."""
    address = urlsplit(headway.api.url)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    reader.settimeout(60)
    reader.connect((address.hostname, address.port))
    lines = [
        "GET /api/v1/events/stream HTTP/1.0",
        f"Host: {address.netloc}",
        f"Authorization: Bearer {headway.api.token}",
        f"Last-Event-ID: {START}",
    ]
    reader.sendall("\r\n".join([*lines, "", ""]).encode())
    return reader


def _is_stuck(headway, reader):
    """Whether the kernel holds bytes that the control plane wrote and the reader does not take."""
    port, server = reader.getsockname()[1], urlsplit(headway.api.url).port
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (_port(local), _port(remote)) == (server, port):
            return int(queues.partition(":")[0], 16) > 0
    return False


def _port(address):
    return int(address.rpartition(":")[2], 16)


def _gaps(reader):
    """Read on, as if nothing had been: every event from the first one on, in order."""
    with reader.makefile("rb") as stream:
        offsets = []
        for line in stream:
            if line.startswith(b"id: "):
                offsets.append(int(line.rpartition(b":")[2]))
            if len(offsets) >= HISTORY:
                break
    return [] if offsets == list(range(1, HISTORY + 1)) else [f"offsets {offsets[:5]}..."]


async def _deaf_agents(headway, pool):
    target = f"127.0.0.1:{headway.grpc_port}"
    tokens = [
        headway.api("POST", "/enrolment-tokens", {"pool": pool})["token"] for _ in range(AGENTS)
    ]
    return await asyncio.gather(*(_deaf_agent(target, token) for token in tokens))


async def _deaf_agent(target, token):
    """Asks for ever longer answers and takes none, until it gets no further; how the control plane has ended that."""
    async with FakeAgent(target, await enrol(target, token, f"deaf-{uuid4()}")) as agent:
        await agent.connect(renew_every=None)
        agent.stop_reading()
        sent = []
        asking = asyncio.create_task(_ask(agent, sent))
        before = -1
        while not asking.done() and len(sent) > before:
            before = len(sent)
            await asyncio.wait({asking}, timeout=STUCK)
        agent.read_again()
        await asyncio.wait({asking})
        return (await agent.until_ended()).code


async def _ask(agent, sent):
    strangers = _facts_of_strangers()
    with suppress(StreamEnded):
        while len(sent) < BATCHES:
            sent.append(len(sent) + 1)
            await agent.send(facts=pb.FactBatch(id=sent[-1], attempts=strangers))


def _facts_of_strangers():
    """Facts of attempts that are nobody's: each is answered by a sentence."""
    run, fact = uuid4(), starting()
    return [
        pb.AttemptFacts(attempt=ref(run, fence), first_seq=1, facts=[fact])
        for fence in range(1, ATTEMPTS)
    ]
