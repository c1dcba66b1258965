"""A scriptable agent over a real gRPC socket: says what a test wants said, keeps all that comes down, executes nothing."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import grpc
import grpc.aio
import jwt
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from headway_api.event.v1 import attempt_pb2

PATIENCE = 30.0


@dataclass(frozen=True)
class Identity:
    """An agent's id and key pair."""

    agent: UUID
    key: Ed25519PrivateKey

    @classmethod
    def new(cls, agent: UUID | None = None) -> Identity:
        return cls(agent or uuid4(), Ed25519PrivateKey.generate())

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def assertion(
        self, *, now: float | None = None, key: Ed25519PrivateKey | None = None, **claims
    ) -> str:
        issued = int(time.time() if now is None else now)
        values = {
            "sub": str(self.agent),
            "aud": "headway-agent",
            "iat": issued,
            "exp": issued + 60,
            "jti": str(uuid4()),
        }
        return jwt.encode(values | claims, key or self.key, algorithm="EdDSA")


class StreamEnded(Exception):
    """The control plane ended the stream while a message was waited for."""

    def __init__(self, code: grpc.StatusCode, details: str, metadata: dict[str, str]) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code, self.details, self.metadata = code, details, metadata


class FakeAgent:
    """One agent process: keeps its session id over reconnects. `inbox` holds everything that came down on the present stream, `whole`
    the same as it came: several in one where Hello says that they may.
    """

    def __init__(
        self,
        target: str,
        identity: Identity,
        *,
        slots: int = 4,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        self.identity = identity
        self.session = uuid4()
        self.slots = slots
        self.inbox: list[pb.SessionResponse] = []
        self.whole: list[pb.SessionResponse] = []
        self.ended: StreamEnded | None = None
        self._target = target
        self._channel = channel
        self._owns_channel = channel is None
        self._numbers = itertools.count(1)
        self._news = asyncio.Condition()
        self._writing = asyncio.Lock()
        self._reading = asyncio.Event()
        self._reading.set()
        self._call: grpc.aio.StreamStreamCall | None = None
        self._reader: asyncio.Task[None] | None = None
        self._renewer: asyncio.Task[None] | None = None

    # Streams ----------------------------------------------------------------------------------------------

    async def connect(
        self,
        *held: tuple[UUID, int, int, bool],
        assertion: str | None = None,
        reading: bool = True,
        renew_every: float | None = 0.25,
        **hello,
    ) -> pb.Welcome:
        """Open a stream, say Hello, go on renewing; return the Welcome. `held`: (run, fence, last seq, alive)."""
        self.dial(assertion=assertion, reading=reading)
        await self.hello(*held, **hello)
        welcome = await self.wait_for("welcome")
        if renew_every is not None:
            self._renewer = asyncio.create_task(self._keep_renewing(renew_every))
        return welcome

    def dial(self, *, assertion: str | None = None, reading: bool = True) -> None:
        """Open a stream and say nothing."""
        assert self._reader is None, "disconnect first"
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._target)
        token = self.identity.assertion() if assertion is None else assertion
        metadata = (("authorization", f"Bearer {token}"),)
        self.inbox, self.whole, self.ended = [], [], None
        self._call = AgentServiceStub(self._channel).Session(metadata=metadata)
        if reading:
            self._reader = asyncio.create_task(self._read(self._call))

    async def hello(self, *held: tuple[UUID, int, int, bool], **changes) -> None:
        values = {
            "protocol": 1,
            "agent_version": "0.1.0",
            "session": self.session.bytes,
            "host": "host",
            "slots": self.slots,
            "held": [
                pb.HeldAttempt(attempt=ref(run, fence), last_seq=last_seq, alive=alive)
                for run, fence, last_seq, alive in held
            ],
        }
        await self.send(hello=pb.Hello(**(values | changes)))

    async def send(self, **message) -> None:
        async with self._writing:  # gRPC takes one message at a time
            assert self._call is not None
            try:
                await self._call.write(pb.SessionRequest(**message))
            except grpc.aio.AioRpcError as error:
                raise await self.until_ended() from error

    def stop_reading(self) -> None:
        """Leave what comes down on the way, as a process that hangs does."""
        self._reading.clear()

    def read_again(self) -> None:
        self._reading.set()

    async def cut(self) -> None:
        """Lose the connection without a word."""
        if self._renewer is not None:
            self._renewer.cancel()
            await asyncio.gather(self._renewer, return_exceptions=True)
            self._renewer = None
        if self._call is not None:
            self._call.cancel()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)
        self._call = self._reader = None
        self._reading.set()

    async def close(self) -> None:
        await self.cut()
        if self._channel is not None and self._owns_channel:
            await self._channel.close()
            self._channel = None

    async def __aenter__(self) -> FakeAgent:
        return self

    async def __aexit__(self, *_) -> None:
        await self.close()

    # Saying -----------------------------------------------------------------------------------------------

    async def renew(self) -> pb.Renewed:
        number = next(self._numbers)
        await self.send(renew=pb.Renew(id=number))
        return await self.wait_for("renewed", lambda renewed: renewed.id == number)

    async def report(
        self,
        run: UUID,
        fence: int,
        first_seq: int,
        facts: Sequence[pb.Fact],
        blobs: Sequence[pb.Blob] = (),
    ) -> pb.AttemptAck:
        """Send facts of one attempt and wait for their acknowledgement."""
        ack = await self.acked(await self.post(run, fence, first_seq, facts, blobs))
        return ack.attempts[0]

    async def post(
        self,
        run: UUID,
        fence: int,
        first_seq: int,
        facts: Iterable[pb.Fact],
        blobs: Iterable[pb.Blob] = (),
    ) -> int:
        """Send facts without waiting; return the number of the batch."""
        number = next(self._numbers)
        item = pb.AttemptFacts(
            attempt=ref(run, fence), first_seq=first_seq, facts=facts, blobs=blobs
        )
        await self.send(facts=pb.FactBatch(id=number, attempts=[item]))
        return number

    async def acked(self, number: int) -> pb.Ack:
        return await self.wait_for("ack", lambda ack: ack.batch_id == number)

    async def write_lines(self, run: UUID, fence: int, first_line: int, lines: int) -> pb.LogAck:
        text = b"".join(b'{"n": %d}\n' % n for n in range(first_line, first_line + lines))
        content = zstandard.compress(text)
        seen = len(self.inbox)
        batch = pb.LogBatch(
            attempt=ref(run, fence), first_line=first_line, lines=lines, content=content
        )
        await self.send(logs=batch)
        return await self.wait_for("log_ack", after=seen)

    async def complete(self, assign: pb.Assign) -> pb.AttemptAck:
        """Report that an assigned attempt began and returned."""
        run, fence = UUID(bytes=assign.attempt.run), assign.attempt.fence
        return await self.report(run, fence, 1, [starting(), started(), exited()])

    # Hearing ----------------------------------------------------------------------------------------------

    async def wait_for(
        self, kind: str, matches: Callable[..., bool] = lambda _: True, *, after: int = 0
    ):
        """Return the first message of a kind that matches; raise StreamEnded when none can come any more."""
        found: list = []

        def arrived() -> bool:
            found[:] = [
                getattr(message, kind)
                for message in self.inbox[after:]
                if message.WhichOneof("message") == kind and matches(getattr(message, kind))
            ]
            return bool(found) or self.ended is not None

        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(arrived)
        if not found:
            assert self.ended is not None
            raise self.ended
        return found[0]

    async def assigned(self, run: UUID | None = None, fence: int | None = None) -> pb.Assign:
        def ours(assign: pb.Assign) -> bool:
            right_run = run is None or assign.attempt.run == run.bytes
            return right_run and (fence is None or assign.attempt.fence == fence)

        return await self.wait_for("assign", ours)

    async def until_ended(self) -> StreamEnded:
        """Wait until the control plane ends the stream; return how."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self.ended is not None)
        assert self.ended is not None
        return self.ended

    def heard(self, kind: str) -> list:
        return [getattr(m, kind) for m in self.inbox if m.WhichOneof("message") == kind]

    async def done_writing(self) -> None:
        assert self._call is not None
        await self._call.done_writing()

    async def _read(self, call) -> None:
        try:
            async for message in call:
                await self._reading.wait()
                async with self._news:
                    self.whole.append(message)
                    parts = message.several.messages if message.HasField("several") else [message]
                    self.inbox.extend(parts)
                    self._news.notify_all()
        except grpc.aio.AioRpcError:
            pass  # told below, like an end without an error
        code, details = await call.code(), await call.details()
        metadata = dict(await call.trailing_metadata() or ())
        async with self._news:
            self.ended = StreamEnded(code, details, metadata)
            self._news.notify_all()

    async def _keep_renewing(self, seconds: float) -> None:
        while True:
            await self.renew()
            await asyncio.sleep(seconds)


async def enrol(
    target: str, token: str, name: str = "agent", key: Ed25519PrivateKey | None = None
) -> Identity:
    """Trade a token for an identity."""
    key = key or Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    async with grpc.aio.insecure_channel(target) as channel:
        request = pb.EnrolRequest(token=token, name=name, public_key=public)
        response = await AgentServiceStub(channel).Enrol(request)
    return Identity(UUID(response.agent_id), key)


def ref(run: UUID, fence: int) -> pb.AttemptRef:
    return pb.AttemptRef(run=run.bytes, fence=fence)


def fact(message, at_us: int | None = None) -> pb.Fact:
    return pb.Fact(
        type=type(message).__name__,
        schema_version=1,
        occurred_at_us=int(time.time() * 1e6) if at_us is None else at_us,
        payload=message.SerializeToString(),
    )


def starting() -> pb.Fact:
    return fact(attempt_pb2.AttemptStarting(pid=1, sdk="0.1.0"))


def started() -> pb.Fact:
    return fact(attempt_pb2.AttemptStarted(pid=1, python="3.11"))


def call_ended(n: int) -> pb.Fact:
    return fact(
        attempt_pb2.CallEnded(
            call=n.to_bytes(16),
            kind=attempt_pb2.CALL_KIND_TASK,
            name="task",
            started_at_us=1,
            outcome=attempt_pb2.CALL_OUTCOME_COMPLETED,
            tries=1,
        )
    )


def exited(outcome: int = attempt_pb2.ATTEMPT_OUTCOME_COMPLETED, **values) -> pb.Fact:
    return fact(attempt_pb2.AttemptExited(outcome=outcome, **values))
