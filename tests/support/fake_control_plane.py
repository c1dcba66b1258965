"""A scriptable AgentService over a real gRPC socket: what the agent meets in tests.

It keeps what a control plane keeps - facts by attempt, contiguous, and lines - and answers by default as the real one
does. A test changes single answers through `on_facts`, `permits`, `credit_*`, `silent`, `refuse`.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import grpc
import grpc.aio
import jwt
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from headway_api.agent.v1 import agent_service_pb2 as wire
from headway_api.agent.v1.agent_service_pb2_grpc import (
    AgentServiceServicer,
    add_AgentServiceServicer_to_server,
)
from headway_api.common.v1 import data_class_pb2 as classes
from headway_api.event.v1 import attempt_pb2 as events

Attempt = tuple[str, int]
DEFAULT_PERMITS = (
    classes.DATA_CLASS_ID,
    classes.DATA_CLASS_TIMING,
    classes.DATA_CLASS_COUNTER,
    classes.DATA_CLASS_ERROR_CLASS,
)
ALL_PERMITS = tuple(v for v in classes.DataClass.values() if v > classes.DATA_CLASS_CONTROL)
TOKEN = "enrol-me"


def ref(attempt: Attempt) -> wire.AttemptRef:
    return wire.AttemptRef(run=UUID(attempt[0]).bytes, fence=attempt[1])


def key(reference: wire.AttemptRef) -> Attempt:
    return str(UUID(bytes=reference.run)), reference.fence


def decode(fact: wire.Fact) -> Any:
    return getattr(events, fact.type).FromString(fact.payload)


@dataclass
class Stored:
    """One attempt as the log holds it."""

    facts: list[wire.Fact] = field(default_factory=list)
    late: list[wire.Fact] = field(default_factory=list)
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    last_line: int = 0
    duplicates: int = 0

    @property
    def last_seq(self) -> int:
        return len(self.facts)

    @property
    def types(self) -> list[str]:
        return [fact.type for fact in self.facts]

    @property
    def exited(self) -> bool:
        return bool(self.facts) and self.facts[-1].type == "AttemptExited"


class NewEpoch(Exception):
    """A Hello rests on what another epoch of the log acknowledged."""


class Stream:
    """One session stream, as the server sees it."""

    def __init__(self) -> None:
        self.hello: wire.Hello | None = None
        self.down: asyncio.Queue[wire.SessionResponse | Exception | None] = asyncio.Queue()
        self.unacked_bytes = 0
        self.most_unacked_bytes = 0
        self.most_unacked_facts = 0
        self.unacked_facts = 0

    def send(self, **message: Any) -> None:
        self.down.put_nowait(wire.SessionResponse(**message))

    def cut(self) -> None:
        """Ends the stream from the server's side."""
        self.down.put_nowait(None)


class FakeControlPlane(AgentServiceServicer):
    def __init__(self, *, now: Callable[[], float]) -> None:
        self.now = now
        self.permits: tuple[int, ...] = ALL_PERMITS
        self.ttl_ms = 30_000
        self.renew_interval_ms = 10_000
        self.credit_facts = 1_024
        self.credit_bytes = 512 * 1024
        self.keys: dict[str, bytes] = {}
        self.streams: list[Stream] = []
        self.store: dict[Attempt, Stored] = {}
        self.fences: dict[str, int] = {}
        self.unknown: set[str] = set()
        self.cancelled: set[Attempt] = set()
        self.grants: dict[Attempt, wire.Assign] = {}
        self.received: list[wire.SessionRequest] = []
        self.renewals = 0
        self.answer_renewals = True
        # Not reading any more: the stream's flow control does the rest.
        self.silent = False
        self.hold_acks = False
        self.lose_acks = 0
        self.held_acks: list[Callable[[], None]] = []
        # attempt facts -> an answer of its own, or None for the usual one.
        self.on_facts: Callable[[wire.AttemptFacts], wire.AttemptAck | None] = lambda _: None
        self.refuse: tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]] | None = None
        self.changed = asyncio.Condition()
        self.offset = 0
        self.epoch = 1
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self, port: int = 0, tls: tuple[bytes, bytes] | None = None) -> None:
        """`tls` is the key and the certificate, as PEM."""
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 15_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        add_AgentServiceServicer_to_server(self, self._server)
        if tls is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            credentials = grpc.ssl_server_credentials([tls])
            self.port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def until(self, condition: Callable[[], Any], seconds: float = 15) -> None:
        """Waits for a condition; every change wakes it."""
        async with asyncio.timeout(seconds):
            async with self.changed:
                await self.changed.wait_for(condition)

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    @property
    def stream(self) -> Stream:
        return self.streams[-1]

    def stored(self, attempt: Attempt) -> Stored:
        return self.store.setdefault(attempt, Stored())

    def assign(self, attempt: Attempt, *, parameters: Any = None, **more: Any) -> None:
        assign = wire.Assign(
            attempt=ref(attempt),
            flow=more.pop("flow", "flow"),
            environment=more.pop("environment", "default"),
            entrypoint=more.pop("entrypoint", "flows:flow"),
            parameters=json.dumps(parameters or {}).encode(),
            **more,
        )
        self.grants[attempt] = assign
        self.fences[attempt[0]] = attempt[1]
        self.stream.send(assign=assign)

    def lose_tail(self, attempt: Attempt, *, after: int, epoch: int) -> None:
        """As a restored log: it has lost facts that it acknowledged, and all streams with them."""
        del self.stored(attempt).facts[after:]
        self.epoch = epoch
        self.stream.cut()

    def cancel(self, attempt: Attempt) -> None:
        self.cancelled.add(attempt)
        self.stream.send(cancel=wire.Cancel(attempt=ref(attempt), reason="asked"))

    # The service --------------------------------------------------------------------------------------

    async def Enrol(self, request: wire.EnrolRequest, context: Any) -> wire.EnrolResponse:  # noqa: N802
        self.enrolled = request
        if request.token != TOKEN:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")
        agent = str(uuid4())
        self.keys[agent] = request.public_key
        return wire.EnrolResponse(agent_id=agent, workspace_id=str(uuid4()), pool="local")

    async def _authenticate(self, context: Any) -> None:
        time = (("x-headway-time-us", str(int(self.now() * 1_000_000))),)
        if self.refuse is not None:
            code, detail, metadata = self.refuse
            await context.abort(code, detail, metadata)
        token = dict(context.invocation_metadata())["authorization"].removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error), time)
        public = self.keys.get(claims["sub"])
        if public is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such agent", time)
        try:
            jwt.decode(
                token,
                Ed25519PublicKey.from_public_bytes(public),
                algorithms=["EdDSA"],
                audience="headway-agent",
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error), time)
        if not claims["iat"] - 30 <= self.now() <= claims["exp"] + 30:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "the assertion is not of now", time
            )

    async def Session(  # noqa: N802
        self, request_iterator: AsyncIterator[wire.SessionRequest], context: Any
    ) -> AsyncIterator[wire.SessionResponse]:
        await self._authenticate(context)
        stream = Stream()
        reader = asyncio.create_task(self._read(stream, request_iterator))
        try:
            while True:
                message = await stream.down.get()
                if message is None:
                    return
                if isinstance(message, NewEpoch):
                    metadata = (("x-headway-epoch", str(self.epoch)),)
                    await context.abort(grpc.StatusCode.ABORTED, "another epoch", metadata)
                if isinstance(message, Exception):
                    raise message
                yield message
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await self.tell()

    async def _read(self, stream: Stream, requests: AsyncIterator[wire.SessionRequest]) -> None:
        try:
            async for message in requests:
                self.received.append(message)
                self._heard(stream, message)
                await self.tell()
                while self.silent:
                    async with self.changed:
                        await self.changed.wait()
            stream.cut()
        except Exception as error:
            stream.down.put_nowait(error)
            raise

    def _heard(self, stream: Stream, message: wire.SessionRequest) -> None:
        match message.WhichOneof("message"):
            case "hello":
                if message.hello.epoch not in (0, self.epoch):
                    stream.down.put_nowait(NewEpoch())
                    return
                stream.hello = message.hello
                self._welcome(stream, message.hello)
                self.streams.append(stream)
            case "renew":
                self.renewals += 1
                if self.answer_renewals:
                    renewed = wire.Renewed(
                        id=message.renew.id,
                        ttl_ms=self.ttl_ms,
                        renew_interval_ms=self.renew_interval_ms,
                    )
                    stream.send(renewed=renewed)
            case "facts":
                self._facts(stream, message.facts)
            case "logs":
                self._logs(stream, message.logs)

    def _welcome(self, stream: Stream, hello: wire.Hello) -> None:
        resumes = []
        held = {key(h.attempt) for h in hello.held}
        for attempt in held:
            run, fence = attempt
            verdict = wire.VERDICT_OK
            if run in self.unknown:
                verdict = wire.VERDICT_UNKNOWN
            elif self.fences.get(run, 0) > fence:
                verdict = wire.VERDICT_FENCED
            stored = self.stored(attempt)
            resumes.append(
                wire.Resume(
                    attempt=ref(attempt),
                    verdict=verdict,
                    last_seq=stored.last_seq,
                    last_line=stored.last_line,
                    cancel=attempt in self.cancelled,
                )
            )
        welcome = wire.Welcome(
            protocol=1,
            ttl_ms=self.ttl_ms,
            renew_interval_ms=self.renew_interval_ms,
            attempts=resumes,
            permits=self.permits,
            credit_facts=self.credit_facts,
            credit_bytes=self.credit_bytes,
        )
        stream.send(welcome=welcome)
        for attempt, assign in self.grants.items():
            current = self.fences.get(attempt[0]) == attempt[1]
            if attempt not in held and current and not self.stored(attempt).facts:
                stream.send(assign=assign)

    def _facts(self, stream: Stream, batch: wire.FactBatch) -> None:
        size = wire.SessionRequest(facts=batch).ByteSize()
        facts = sum(len(a.facts) for a in batch.attempts)
        stream.unacked_bytes += size
        stream.unacked_facts += facts
        stream.most_unacked_bytes = max(stream.most_unacked_bytes, stream.unacked_bytes)
        stream.most_unacked_facts = max(stream.most_unacked_facts, stream.unacked_facts)
        answers = [self.on_facts(a) or self._append(a) for a in batch.attempts]
        self.offset += facts
        witness = wire.Witness(
            epoch=self.epoch,
            offset=self.offset,
            chain=hashlib.sha256(str(self.offset).encode()).digest(),
        )
        ack = wire.Ack(batch_id=batch.id, attempts=answers, witness=witness)

        def release() -> None:
            stream.unacked_bytes -= size
            stream.unacked_facts -= facts
            stream.send(ack=ack)

        if self.lose_acks:
            self.lose_acks -= 1
        elif self.hold_acks:
            self.held_acks.append(release)
        else:
            release()

    def release_acks(self) -> None:
        self.hold_acks = False
        held, self.held_acks = self.held_acks, []
        for release in held:
            release()

    def _append(self, said: wire.AttemptFacts) -> wire.AttemptAck:
        attempt = key(said.attempt)
        run, fence = attempt
        stored = self.stored(attempt)
        verdict = wire.VERDICT_OK
        if run in self.unknown:
            verdict = wire.VERDICT_UNKNOWN
        elif self.fences.get(run, 0) > fence:
            verdict = wire.VERDICT_FENCED
            stored.late.extend(said.facts)
        elif said.first_seq > stored.last_seq + 1:
            verdict = wire.VERDICT_GAP
        else:
            skip = stored.last_seq + 1 - said.first_seq
            stored.duplicates += min(skip, len(said.facts))
            stored.facts.extend(said.facts[skip:])
            stored.blobs.update({blob.digest: blob.content for blob in said.blobs})
        return wire.AttemptAck(attempt=said.attempt, verdict=verdict, last_seq=stored.last_seq)

    def _logs(self, stream: Stream, batch: wire.LogBatch) -> None:
        stored = self.stored(key(batch.attempt))
        if batch.first_line == stored.last_line + 1:
            content = zstandard.ZstdDecompressor().decompress(batch.content, 1 << 24)
            stored.lines.extend(json.loads(line) for line in content.splitlines())
            stored.last_line += batch.lines
        stream.send(log_ack=wire.LogAck(attempt=batch.attempt, last_line=stored.last_line))
