"""Messages of an agent to the control plane: mutated, out of order, with and without a credential, over a real socket onto a real log.

Pieces of a script: the credential, then messages as bytes; `_RUN` and `_SESSION` stand for the ids of the run that this execution was
granted and of its session. Every stream ends with a status that is ours, nothing is logged as a defect, a bystander's run completes,
and the log's invariants hold.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from uuid import UUID, uuid4

import grpc
import grpc.aio
import psutil
import zstandard

from fuzz import mutation
from fuzz.corpus import Script
from fuzz.harness import Finding, Target
from fuzz.places import Ears, database
from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.domain.commands import CancelRun
from headway_control_plane.domain.errors import Refused
from headway_control_plane.grpc_api.settings import Limits
from support.fake_agent import Identity, call_ended, exited, ref, started, starting
from support.replica import fast_settings, new_world, open_replica
from support.stack import invariants

SERVICE = "/headway_api.agent.v1.AgentService/"
_RUN = b"the run's number"
_SESSION = b"the session's no"
_TOKEN = b"the token"
GOOD, NONE = b"good", b"none"
ENROL = b"enrol"
ANSWER_WITHIN = 20.0
GRANT_WITHIN = 0.2
# Codes that our service gives on purpose, and gRPC's own for what is no message or too large a one.
OURS = {
    *("OK", "UNAUTHENTICATED", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "CANCELLED", "NOT_FOUND"),
}  # fmt: skip
CLIENTS_OWN = "Internal error from Core"
GROWTH = 400 << 20
LOOK_AT_BYSTANDER = 50


class AgentStream(Target):
    name = "agent_stream"

    def __init__(self, database_url: str = "") -> None:
        self._url = database_url
        self._ears = Ears()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            url = stack.enter_context(database(self._url))
            stack.enter_context(self._ears.listening())
            settings = fast_settings(limits=Limits(handshakes_per_second=1e6))
            self._replica = await stack.enter_async_context(open_replica(url, settings))
            self._world = await stack.enter_async_context(new_world(self._replica, name="hostile"))
            other = await stack.enter_async_context(new_world(self._replica, name="bystander"))
            self._bystander = await other.agent()
            await self._bystander.connect()
            self._other = other
            self._channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(self._replica.target)
            )
            self._identity = await self._world.identity()
            self._count = 0
            self._memory = psutil.Process().memory_info().rss
            yield

    async def close_up(self) -> None:
        await self._bystander_is_served()
        if found := await invariants(self._replica.url):
            raise Finding(f"the log's invariants: {found}")
        grown = psutil.Process().memory_info().rss - self._memory
        if grown > GROWTH:
            raise Finding(f"the process has grown by {grown >> 20} MiB", "memory")

    def seeds(self) -> Iterable[Script]:
        hello = pb.Hello(protocol=1, agent_version="0.1.0", session=_SESSION, host="host", slots=2)
        attempt = ref(UUID(bytes=_RUN), 1)

        def facts(number: int, first: int, *said: pb.Fact) -> pb.FactBatch:
            item = pb.AttemptFacts(attempt=attempt, first_seq=first, facts=said)
            return pb.FactBatch(id=number, attempts=[item])

        logs = pb.LogBatch(
            attempt=attempt,
            first_line=1,
            lines=2,
            content=zstandard.compress(b'{"line": 1}\n{"line": 2}\n'),
        )
        blob = pb.Blob(digest=bytes(32), content=b"text")
        told = facts(1, 1, starting(), started())
        held = pb.Hello(
            **{f.name: v for f, v in hello.ListFields()},
            held=[pb.HeldAttempt(attempt=attempt, last_seq=2, alive=True)],
        )
        with_blob = pb.FactBatch(
            id=2,
            attempts=[
                pb.AttemptFacts(attempt=attempt, first_seq=3, facts=[call_ended(1)], blobs=[blob])
            ],
        )
        whole = [
            pb.SessionRequest(hello=hello), pb.SessionRequest(facts=told), pb.SessionRequest(renew=pb.Renew(id=1)),
            pb.SessionRequest(facts=with_blob), pb.SessionRequest(logs=logs), pb.SessionRequest(slots=pb.Slots(slots=3)),
            pb.SessionRequest(facts=facts(3, 4, exited())), pb.SessionRequest(goodbye=pb.Goodbye(reason="done")),
        ]  # fmt: skip
        spoken = tuple(message.SerializeToString(deterministic=True) for message in whole)
        yield (GOOD, *spoken)
        yield (GOOD, pb.SessionRequest(hello=held).SerializeToString(), *spoken[1:3])
        yield (NONE, *spoken[:2])
        yield (
            ENROL,
            pb.EnrolRequest(
                token=_TOKEN.decode(), name="agent", public_key=bytes(32)
            ).SerializeToString(),
        )

    def mutate(self, random: Random, script: Script) -> Script:
        head, *messages = script or (GOOD,)
        if random.random() < 0.03:
            head = random.choice((NONE, b"Bearer x", b"Bearer " + b"e" * 3_000, b"Basic x", GOOD))
        kind = pb.EnrolRequest if head == ENROL else pb.SessionRequest
        if head != ENROL and random.random() < 0.2:
            return (head, *mutation.order(random, tuple(messages)))
        return (
            head,
            *mutation.one_piece(random, tuple(messages), lambda r, m: mutation.message(r, kind, m)),
        )

    async def execute(self, script: Script) -> Hashable:
        self._count += 1
        head, *messages = script or (GOOD,)
        if head == ENROL:
            answer = await self._enrol(b"".join(messages))
        else:
            answer = await self._session(head, messages)
        self._ears.raise_what_was_heard()
        if self._count % LOOK_AT_BYSTANDER == 0:
            await self._bystander_is_served()
        return answer

    async def _enrol(self, message: bytes) -> Hashable:
        token = (await self._world.token()).encode()
        # The token is longer than its mark: a length in front of it would be wrong, but for the whole message made anew.
        with suppress(Exception):
            request = pb.EnrolRequest.FromString(message)
            request.token = request.token.replace(_TOKEN.decode(), token.decode())
            message = request.SerializeToString()
        call = self._channel.unary_unary(f"{SERVICE}Enrol")(message)
        try:
            await asyncio.wait_for(call, ANSWER_WITHIN)
        except grpc.aio.AioRpcError as error:
            return "enrol", _judged(error.code(), error.details() or "")
        except TimeoutError as error:
            raise Finding("Enrol is not answered") from error
        return "enrol", "OK"

    async def _session(self, head: bytes, messages: list[bytes]) -> Hashable:
        run, session = await self._world.create_run(), uuid4()
        call = self._channel.stream_stream(f"{SERVICE}Session")(
            metadata=_metadata(head, self._identity)
        )
        heard: list[pb.SessionResponse] = []
        granted = asyncio.Event()
        reader = asyncio.create_task(_hear(call, heard, granted))
        try:
            await self._speak(call, messages, run, session, granted)
            code, details = await asyncio.wait_for(_ended(call, reader), ANSWER_WITHIN)
        except TimeoutError as error:
            raise Finding("a stream is not ended after all was said") from error
        finally:
            call.cancel()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            with suppress(Refused):  # it has ended already
                await self._world.execute(CancelRun(run))
        verdicts = {(a.verdict, _plain(a.reason)) for m in heard for a in m.ack.attempts}
        kinds = {m.WhichOneof("message") for m in heard}
        return (
            head[:6],
            tuple(sorted(map(str, kinds))),
            tuple(sorted(verdicts)),
            _judged(code, details),
        )

    async def _speak(
        self,
        call: grpc.aio.StreamStreamCall,
        messages: list[bytes],
        run: UUID,
        session: UUID,
        granted: asyncio.Event,
    ) -> None:
        for n, message in enumerate(messages):
            said = message.replace(_RUN, run.bytes).replace(_SESSION, session.bytes)
            try:
                await call.write(said)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return  # the stream is over
            if n == 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(granted.wait(), GRANT_WITHIN)
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.done_writing()

    async def _bystander_is_served(self) -> None:
        agent, world = self._bystander, self._other
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                run = await world.create_run()
                await agent.complete(await agent.assigned(run))
                await world.until_status(run, "completed")
        except Exception as error:
            raise Finding.of("a bystander is not served", error) from error


def _metadata(head: bytes, identity: Identity) -> tuple[tuple[str, str], ...]:
    if head == NONE:
        return ()
    text = f"Bearer {identity.assertion()}" if head == GOOD else head.decode("ascii", "replace")
    # What a client's own library would not send is no test of ours.
    return (("authorization", "".join(c for c in text if " " <= c <= "~")),)


async def _hear(
    call: grpc.aio.StreamStreamCall, heard: list[pb.SessionResponse], granted: asyncio.Event
) -> None:
    try:
        async for raw in call:
            heard.append(pb.SessionResponse.FromString(raw))
            if heard[-1].HasField("assign"):
                granted.set()
    except grpc.aio.AioRpcError:
        pass  # the status tells
    finally:
        granted.set()


async def _ended(
    call: grpc.aio.StreamStreamCall, reader: asyncio.Task[None]
) -> tuple[grpc.StatusCode, str]:
    await reader
    return await call.code(), await call.details() or ""


def _judged(code: grpc.StatusCode, details: str) -> Hashable:
    if code is grpc.StatusCode.INTERNAL and details == CLIENTS_OWN:
        return code.name, "a write of ours met the end of the stream"
    if code.name not in OURS:
        raise Finding(
            f"ended with {code.name}: {details[:200]}", f"ended with {code.name}: {_plain(details)}"
        )
    return code.name, _plain(details)


def _plain(text: str) -> str:
    return re.sub(r"\d+|'[^']*'", "#", text)[:80]
