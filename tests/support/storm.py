"""Thousands of agents that are no processes: each has a key, a connection and a session, takes grants and keeps them.

`Storm` drives them from a test or a benchmark; they live in a few processes of their own. As a program: storm.py TARGET
CONNECTIONS, orders as lines of JSON on standard input, one line of JSON as the answer to each.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
import grpc.aio
import uvloop

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from support.fake_agent import Identity, enrol, exited, ref, started, starting
from support.stack import Api

RETRY_AFTER, SESSION = "x-headway-retry-after-ms", "x-headway-session"
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
_TOGETHER = 50
_DIAL_TIMEOUT = 10.0  # as real agents have it
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0


@dataclass(frozen=True, slots=True)
class Returned:
    """How agents came to their sessions: seconds that each took, and how often they were told to come later, by code."""

    seconds: Sequence[float]
    refused: Mapping[str, int] = field(default_factory=dict)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    def __str__(self) -> str:
        told = ", ".join(f"{code} x{count}" for code, count in sorted(self.refused.items()))
        spread = "/".join(f"{self.percentile(share):.1f}" for share in (0.5, 0.99, 1))
        rate = len(self.seconds) / max(self.percentile(1), 0.001)
        return f"{len(self.seconds)} sessions, p50/p99/last {spread} s, {rate:.0f}/s, refused: {told or 'none'}"


class Storm:
    """`count` agents of one pool. They connect and are cut all at once."""

    def __init__(
        self, target: str, api: Api, pool: str, count: int, *, processes: int = 2, sharing: int = 1
    ) -> None:
        """`sharing`: so many agents use one connection together."""
        self.count = count
        self._children = [
            subprocess.Popen(
                [sys.executable, __file__, target, str(sharing)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(processes)
        ]
        self._pool = ThreadPoolExecutor(max(processes, 8))
        try:
            tokens = list(self._pool.map(lambda _: _token(api, pool), range(count)))
            self._tell([{"enrol": tokens[n::processes]} for n in range(processes)])
        except BaseException:
            self.close()
            raise

    def connect(self) -> Returned:
        """All dial at once; returns when the last one is welcomed."""
        answers = self._tell_all("connect")
        refused: Counter[str] = Counter()
        for answer in answers:
            refused.update(answer["refused"])
        return Returned([s for answer in answers for s in answer["seconds"]], refused)

    def cut(self) -> None:
        """All connections end at once, without a word."""
        self._tell_all("cut")

    def held(self) -> int:
        """Attempts that they have begun and not ended."""
        return sum(int(answer["held"]) for answer in self._tell_all("held"))

    def lost(self) -> int:
        """Streams that ended although nobody cut them; their agents have come back since, or are about to."""
        return sum(int(answer["lost"]) for answer in self._tell_all("held"))

    def finish(self) -> int:
        """Report every attempt as completed; how many, once they are acknowledged."""
        return sum(int(answer["finished"]) for answer in self._tell_all("finish"))

    def close(self) -> None:
        for child in self._children:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        self._pool.shutdown()

    def __enter__(self) -> Storm:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _tell_all(self, order: str) -> list[dict[str, Any]]:
        return self._tell([{order: True}] * len(self._children))

    def _tell(self, orders: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
        return list(self._pool.map(_ask, self._children, orders))


def _ask(child: subprocess.Popen[str], order: Mapping[str, object]) -> dict[str, Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(order) + "\n")
    child.stdin.flush()
    line = child.stdout.readline()
    assert line, f"a process of agents ended with {child.wait()} at {str(order)[:50]}"
    answer: dict[str, Any] = json.loads(line)
    return answer


def _token(api: Api, pool: str) -> str:
    return str(api("POST", "/enrolment-tokens", {"pool": pool})["token"])


# In the processes -------------------------------------------------------------------------------------------


class StormAgent:
    """One agent: it executes nothing, and says of what it is given that it has begun."""

    def __init__(self, identity: Identity, line: Line, tally: Counter[str]) -> None:
        self._identity, self._line, self._tally = identity, line, tally
        self._session = uuid4()
        self._batch = 0
        self._writing = asyncio.Lock()
        self._acked = asyncio.Condition()
        self._last_acked = 0
        self._call: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.held: dict[tuple[bytes, int], int] = {}

    async def connect(self) -> None:
        """Dial until welcomed, as patiently as the control plane asks, else with growing random pauses."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(_DIAL_TIMEOUT):
                    welcome = await self._open()
            except TimeoutError:
                self._tally["no Welcome in time"] += 1
            except grpc.aio.AioRpcError as error:
                self._tally[error.code().name] += 1
                if _told(error, SESSION) == "over":
                    self._session = uuid4()
                await asyncio.sleep(_pause(error, failures))
                failures += 1
            else:
                every = welcome.renew_interval_ms / 1000
                self._start(self._read(self._call), self._renew(self._call, every))
                return

    def _start(self, *work: Coroutine[Any, Any, None]) -> None:
        self._tasks = {asyncio.create_task(each) for each in work}
        for task in self._tasks:
            task.add_done_callback(_told_if_broken)

    async def cut(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._call is not None:
            self._call.cancel()

    async def finish(self) -> int:
        """Report what is held as completed, and wait for the acknowledgements."""
        count = len(self.held)
        for (run, fence), last in list(self.held.items()):
            await self._report(run, fence, last + 1, [exited()])
            async with asyncio.timeout(60), self._acked:
                await self._acked.wait_for(lambda: self._last_acked == self._batch)
            del self.held[run, fence]
        return count

    async def _open(self) -> pb.Welcome:
        token = self._identity.assertion()
        stub = AgentServiceStub(self._line.channel())
        self._call = stub.Session(metadata=(("authorization", f"Bearer {token}"),))
        held = [
            pb.HeldAttempt(attempt=pb.AttemptRef(run=run, fence=fence), last_seq=last, alive=True)
            for (run, fence), last in self.held.items()
        ]
        hello = pb.Hello(
            protocol=1, agent_version="0.1.0", session=self._session.bytes, slots=4, held=held
        )
        with suppress(asyncio.InvalidStateError):  # it has ended; how is read below
            await self._call.write(pb.SessionRequest(hello=hello))
        message = await self._call.read()
        assert isinstance(message, pb.SessionResponse), f"the stream ended: {message}"
        assert message.HasField("welcome"), message
        return message.welcome

    async def _read(self, call: Any) -> None:
        try:
            while isinstance(message := await call.read(), pb.SessionResponse):
                await self._heard(message)
        except grpc.aio.AioRpcError as error:
            self._tally[error.code().name] += 1
        # Nobody cut it: the control plane, or what lies between, gave the stream up.
        self._tally["lost"] += 1
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        await self.connect()

    async def _heard(self, message: pb.SessionResponse) -> None:
        if message.HasField("assign"):
            attempt = message.assign.attempt
            if (attempt.run, attempt.fence) not in self.held:
                self.held[attempt.run, attempt.fence] = 2
                await self._report(attempt.run, attempt.fence, 1, [starting(), started()])
        elif message.HasField("ack"):
            async with self._acked:
                self._last_acked = message.ack.batch_id
                self._acked.notify_all()

    async def _renew(self, call: Any, every: float) -> None:
        number = 0
        # Apart from each other, as agents are that were not started together.
        await asyncio.sleep(every * random.random())
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the reader tells of it
            while True:
                number += 1
                await self._send(call, pb.SessionRequest(renew=pb.Renew(id=number)))
                await asyncio.sleep(every)

    async def _report(self, run: bytes, fence: int, first: int, facts: Iterable[pb.Fact]) -> None:
        self._batch += 1
        item = pb.AttemptFacts(attempt=ref(UUID(bytes=run), fence), first_seq=first, facts=facts)
        batch = pb.FactBatch(id=self._batch, attempts=[item])
        await self._send(self._call, pb.SessionRequest(facts=batch))

    async def _send(self, call: Any, message: pb.SessionRequest) -> None:
        async with self._writing:  # gRPC takes one message at a time
            await call.write(message)


class Line:
    """One connection, for one agent or several; a new one after it was cut."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._channel: grpc.aio.Channel | None = None

    def channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._target, options=_OPTIONS)
        return self._channel

    async def cut(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


class Fleet:
    """The agents of one process."""

    def __init__(self, target: str, sharing: int) -> None:
        self._target, self._sharing = target, sharing
        self._lines: list[Line] = []
        self._agents: list[StormAgent] = []
        self._tally: Counter[str] = Counter()

    async def obey(self, order: Mapping[str, Any]) -> dict[str, Any]:
        match next(iter(order)):
            case "enrol":
                await self._enrol(order["enrol"])
                return {"enrolled": len(self._agents)}
            case "connect":
                self._tally.clear()
                seconds = await asyncio.gather(*(_timed(agent) for agent in self._agents))
                return {"seconds": seconds, "refused": self._tally}
            case "cut":
                await asyncio.gather(*(line.cut() for line in self._lines), *self._cuts())
                return {}
            case "held":
                held = sum(len(agent.held) for agent in self._agents)
                return {"held": held, "lost": self._tally["lost"]}
            case "finish":
                done = await asyncio.gather(*(agent.finish() for agent in self._agents))
                return {"finished": sum(done)}
            case other:
                raise ValueError(f"no such order: {other}")

    def _cuts(self) -> list[Any]:
        return [agent.cut() for agent in self._agents]

    async def _enrol(self, tokens: Sequence[str]) -> None:
        turns = asyncio.Semaphore(_TOGETHER)

        async def one(token: str) -> Identity:
            async with turns:
                return await enrol(self._target, token, f"storm-{uuid4()}")

        identities = await asyncio.gather(*(one(token) for token in tokens))
        self._lines = [Line(self._target) for _ in range(0, len(tokens), self._sharing)]
        self._agents = [
            StormAgent(identity, self._lines[n // self._sharing], self._tally)
            for n, identity in enumerate(identities)
        ]


async def _timed(agent: StormAgent) -> float:
    begun = time.monotonic()
    await agent.connect()
    return time.monotonic() - begun


def _pause(error: grpc.aio.AioRpcError, failures: int) -> float:
    told = _told(error, RETRY_AFTER)
    if told is not None:
        return int(told) / 1000
    return random.random() * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**failures)


def _told(error: grpc.aio.AioRpcError, key: str) -> str | None:
    value = dict(error.trailing_metadata() or ()).get(key)
    return None if value is None else str(value)


def _told_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        traceback.print_exception(error)


async def main(target: str, sharing: int) -> None:
    fleet = Fleet(target, sharing)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await fleet.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
