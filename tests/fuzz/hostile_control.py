"""An agent whose control plane says anything: mutated, out of order, unasked for, ended with any status and any metadata.

Pieces of a script: how the stream ends (code, detail and metadata as JSON), then messages as bytes; `_RUN` stands for the run that
this execution is about. Afterwards a control plane that means well takes over: the agent is back with it, holds what it held, executes
what it is given and has all of it acknowledged, unless what it was told ends agents by contract.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any
from uuid import UUID, uuid4

import grpc
import grpc.aio
import psutil

from fuzz import mutation
from fuzz.corpus import Script
from fuzz.harness import Finding, Target
from fuzz.places import Ears
from headway_agent.connection.errors import Failure
from headway_api.agent.v1 import agent_service_pb2 as wire
from support.agent_under_test import Running, running_agent
from support.fake_control_plane import ALL_PERMITS, FakeControlPlane
from support.fake_runner import FakeRunner

_RUN = b"the run's number"
BACK_WITHIN = 8.0
SPOKEN_WITHIN = 0.05
MOST_MESSAGES = 400
"""That an agent sends on one hostile stream; it holds next to nothing."""
GROWTH = 300 << 20
CODES = [code.name for code in grpc.StatusCode]
_METADATA = (
    {},
    {"x-headway-session": "over"},
    {"x-headway-session": "0ver"},
    *(
        {"x-headway-retry-after-ms": text}
        for text in ("0", "-7", "--7", "1e3", "9" * 5_000, "½", "", "1")
    ),
    *({"x-headway-time-us": text} for text in ("0", "-1", "--1", "9" * 4_000, "nan")),
    *({"x-headway-epoch": text} for text in ("0", "2", "--1", "9" * 4_000, "x")),
)
FRAMES: list[dict[str, Any]] = [
    {"type": "attempt.starting", "pid": 7, "sdk": "0.1.0"},
    {"type": "attempt.started", "pid": 8, "python": "3.11.7"},
    {"type": "attempt.ended", "outcome": "completed"},
    {"type": "attempt.exited", "outcome": "completed", "exit_code": 0, "cause": "", "lines": 0},
]


class HostileControl(Target):
    name = "hostile_control"
    traced = (
        "headway_agent.loops.session_loop",
        "headway_agent.connection.messages",
        "headway_agent.connection.errors",
        "headway_agent.core.session",
        "headway_agent.core.resume",
        "headway_agent.core.lines",
        "headway_agent.core.lease",
        "headway_agent.loops.assignments",
    )

    def __init__(self, _database_url: str = "") -> None:
        self._ears = Ears(but=("grpc._common", "headway_agent.loops.supervisor"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._server = Server()
        await self._server.start()
        self._memory = psutil.Process().memory_info().rss
        try:
            with self._ears.listening():
                yield
        finally:
            await self._server.stop()

    async def close_up(self) -> None:
        grown = psutil.Process().memory_info().rss - self._memory
        if grown > GROWTH:
            raise Finding(f"the process has grown by {grown >> 20} MiB", "memory")

    def seeds(self) -> Iterable[Script]:
        attempt = wire.AttemptRef(run=_RUN, fence=1)
        other = wire.AttemptRef(run=bytes(16), fence=3)
        witness = wire.Witness(epoch=1, offset=4, chain=bytes(32))
        welcome = wire.Welcome(
            protocol=1, ttl_ms=30_000, renew_interval_ms=10_000, permits=ALL_PERMITS, credit_facts=100, credit_bytes=1 << 20,
            attempts=[wire.Resume(attempt=attempt, verdict=wire.VERDICT_OK, last_seq=1, last_line=1)],
        )  # fmt: skip
        assign = wire.Assign(
            attempt=other,
            deployment="d",
            flow="f",
            environment="default",
            entrypoint="flows:flow",
            parameters=b'{"a": [1]}',
            cancel_grace_ms=5,
        )
        ack = wire.Ack(
            batch_id=1,
            attempts=[wire.AttemptAck(attempt=attempt, verdict=wire.VERDICT_OK, last_seq=2)],
            witness=witness,
        )
        said = [
            wire.SessionResponse(welcome=welcome), wire.SessionResponse(assign=assign), wire.SessionResponse(ack=ack),
            wire.SessionResponse(renewed=wire.Renewed(id=1, ttl_ms=30_000, renew_interval_ms=10_000)),
            wire.SessionResponse(log_ack=wire.LogAck(attempt=attempt, last_line=2)),
            wire.SessionResponse(cancel=wire.Cancel(attempt=attempt, reason="why")),
            wire.SessionResponse(drain=wire.Drain(reconnect_after_ms=10)),
            wire.SessionResponse(forget=wire.Forget(run=bytes(16))),
        ]  # fmt: skip
        spoken = tuple(message.SerializeToString(deterministic=True) for message in said)
        yield (_ending("UNAVAILABLE"), *spoken)
        for message in spoken[1:]:
            yield (_ending("OK"), spoken[0], message)
        yield (_ending("ABORTED", {"x-headway-session": "over"}),)

    def mutate(self, random: Random, script: Script) -> Script:
        head, *messages = script or (_ending("OK"),)
        if random.random() < 0.25:
            head = _ending(random.choice(CODES), random.choice(_METADATA))
        if random.random() < 0.2:
            return (head, *mutation.order(random, tuple(messages)))
        changed = mutation.one_piece(
            random, tuple(messages), lambda r, m: mutation.message(r, wire.SessionResponse, m)
        )
        return (head, *changed)

    async def execute(self, script: Script) -> Hashable:
        head, *messages = script or (_ending("OK"),)
        runner, run = FakeRunner(), str(uuid4())
        held = runner.holds(run)
        runner.write(held, *FRAMES[:3])
        runner.print(held, "one", "two")
        self._server.be_hostile(head, [m.replace(_RUN, UUID(run).bytes) for m in messages])
        try:
            async with running_agent(self._server.good, runner) as agent:
                answer = await self._converse(agent, runner, run)
        except Failure as failure:
            answer = "ended by contract", failure.reaction.name
        except Finding:
            raise
        except Exception as error:
            raise Finding.of("the agent failed", error) from error
        self._ears.raise_what_was_heard()
        if self._server.heard > MOST_MESSAGES:
            raise Finding(
                f"the agent sent {self._server.heard} messages on one stream", "talkative"
            )
        return answer

    async def _converse(self, agent: Running, runner: FakeRunner, run: str) -> Hashable:
        """Until it is back with the control plane that means well, and its attempt is told to the end."""
        good = self._server.good
        back = asyncio.create_task(good.until(lambda: bool(good.streams), BACK_WITHIN))
        try:
            await asyncio.wait({back, agent.task}, return_when=asyncio.FIRST_COMPLETED)
            if agent.task.done():
                agent.task.result()
                return "drained"
            await back
            held = next(a for key, a in runner.attempts.items() if key.run == run)
            if held.state == "closed":
                return "closed as told", good.streams[-1].hello is not None
            if held.alive:
                runner.write(held, FRAMES[3])
            await good.until(lambda: good.stored((run, 1)).exited, BACK_WITHIN)
        except TimeoutError as error:
            raise Finding("the agent does not come back, or does not report", "away") from error
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
        return (
            "reported",
            tuple(sorted({s.fence for s in () if s})),
            bool(runner.cancelled),
            bool(runner.killed),
            bool(runner.started),
        )


class Server:
    """One address for two control planes: hostile on the next stream, well-meaning from then on."""

    def __init__(self) -> None:
        self.good = FakeControlPlane(now=time.time)
        self.heard = 0
        self._script: tuple[bytes, list[bytes]] | None = None

    async def start(self) -> None:
        methods = {
            "Enrol": grpc.unary_unary_rpc_method_handler(
                self._enrol, wire.EnrolRequest.FromString, wire.EnrolResponse.SerializeToString
            ),
            "Session": grpc.stream_stream_rpc_method_handler(self._session),
        }
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
            ]
        )
        handler = grpc.method_handlers_generic_handler("headway_api.agent.v1.AgentService", methods)
        self._server.add_generic_rpc_handlers((handler,))
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self.good.port = self._port
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    def be_hostile(self, head: bytes, messages: list[bytes]) -> None:
        self.good = FakeControlPlane(now=time.time)
        self.good.port = self._port
        self._script, self.heard = (head, messages), 0

    async def _enrol(self, request: wire.EnrolRequest, context: Any) -> wire.EnrolResponse:
        return await self.good.Enrol(request, context)

    async def _session(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        script, self._script = self._script, None
        if script is None:
            well_meant = self.good.Session(_decoded(requests), context)
            async for message in well_meant:
                yield message.SerializeToString()
            return
        head, messages = script
        listener = asyncio.create_task(self._listen(requests))
        try:
            for message in messages:
                yield message
            with suppress(TimeoutError):  # what it makes the agent say
                await asyncio.wait_for(asyncio.shield(listener), SPOKEN_WITHIN)
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        code, metadata = _read_ending(head)
        context.set_trailing_metadata(tuple(metadata.items()))
        if code is not grpc.StatusCode.OK:
            await context.abort(code, "hostile", tuple(metadata.items()))

    async def _listen(self, requests: AsyncIterator[bytes]) -> None:
        async for _ in requests:
            self.heard += 1


async def _decoded(requests: AsyncIterator[bytes]) -> AsyncIterator[wire.SessionRequest]:
    async for message in requests:
        yield wire.SessionRequest.FromString(message)


def _ending(code: str, metadata: dict[str, str] | None = None) -> bytes:
    return json.dumps({"code": code, "metadata": metadata or {}}).encode()


def _read_ending(head: bytes) -> tuple[grpc.StatusCode, dict[str, str]]:
    try:
        said = json.loads(head)
        metadata = {
            k: "".join(c for c in v if " " <= c <= "~") for k, v in said["metadata"].items()
        }
        return grpc.StatusCode[said["code"]], metadata
    except (ValueError, KeyError, TypeError, AttributeError):
        return grpc.StatusCode.OK, {}
