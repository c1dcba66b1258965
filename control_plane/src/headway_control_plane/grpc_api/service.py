"""The agents' service: who may call, how many at once, and how each call ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from random import Random
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio
from opentelemetry import metrics

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.agent.v1.agent_service_pb2_grpc import AgentServiceServicer
from headway_control_plane.application.credentials import Credentials
from headway_control_plane.application.enrolment import enrol_agent
from headway_control_plane.application.errors import NotAuthenticated, UseCaseError
from headway_control_plane.db.outages import OUTAGES
from headway_control_plane.domain.errors import Refused
from headway_control_plane.grpc_api.assertion import BadAssertion
from headway_control_plane.grpc_api.auth import AgentIdentity, Authenticator
from headway_control_plane.grpc_api.core import Rotation
from headway_control_plane.grpc_api.pacing import Gate, TokenBucket
from headway_control_plane.grpc_api.refusals import (
    DEFECT,
    SHUTDOWN,
    UNREADABLE,
    CallRefused,
    Refusal,
    crowded,
    outage_refusal,
    time_metadata,
)
from headway_control_plane.grpc_api.store import SessionStore
from headway_control_plane.grpc_api.stream import AgentStream, Services
from headway_control_plane.ids import IdSource

_log = logging.getLogger(__name__)
_LONGEST_HANDSHAKE_WAIT = 2.0
# What is told is between two thirds and four thirds of a turn, and no longer than an agent pauses by itself.
_SHORTEST_TURN, _LONGEST_TURN = 0.75, 11.0
_ROTATION_JITTER = 0.1

_meter = metrics.get_meter("headway.agents")
_streams = _meter.create_up_down_counter(
    "headway.agents.streams", unit="{stream}", description="Open agent streams"
)
_refusals = _meter.create_counter(
    "headway.agents.refusals", unit="{call}", description="Calls that ended with a refusal, by code"
)

Context = grpc.aio.ServicerContext[Any, Any]
Answer = TypeVar("Answer")


class AgentService(AgentServiceServicer):
    """Speaks `headway_api.agent.v1.AgentService`."""

    def __init__(
        self,
        services: Services,
        authenticator: Authenticator,
        credentials: Credentials,
        store: SessionStore,
        ids: IdSource,
        random: Random,
    ) -> None:
        limits = services.settings.limits
        rate = limits.handshakes_per_second
        self._services = services
        self._authenticator = authenticator
        self._credentials = credentials
        self._store = store
        self._ids = ids
        self._random = random
        self._handshakes = TokenBucket(rate, burst=rate)
        self._gate = Gate(
            limits.handshakes_in_flight,
            shortest=_SHORTEST_TURN,
            longest=_LONGEST_TURN,
        )
        self._open: dict[AgentStream, None] = {}  # oldest first
        self._stopping = False

    async def Enrol(  # noqa: N802 - the name of the wire
        self, request: pb.EnrolRequest | None, context: Context
    ) -> pb.EnrolResponse:
        return await self._guard(self._enrol(request), context)

    # The generated base knows streaming handlers as generators alone; this one writes to its context.
    async def Session(  # type: ignore[override]  # noqa: N802 - the name of the wire
        self, request_iterator: AsyncIterator[pb.SessionRequest | None], context: Context
    ) -> None:
        await self._guard(self._serve(request_iterator, context), context)

    def drain(self, after: timedelta) -> None:
        """Take no new streams and ask the open ones to move."""
        self._stopping = True
        for stream in tuple(self._open):
            stream.move_away(self._random.random() * after.total_seconds())

    @property
    def open_streams(self) -> int:
        return len(self._open)

    async def _guard(self, work: Awaitable[Answer], context: Context) -> Answer:
        """Do the work of a call, or end it with a refusal."""
        try:
            return await work
        except CallRefused as refused:
            refusal = refused.refusal
        except OUTAGES as outage:
            _log.warning("%s", outage)
            refusal = outage_refusal(outage)
        except Exception:  # noqa: BLE001 - a defect; logged, and told without its details
            _log.exception("a call of an agent failed")
            refusal = DEFECT
        # An agent that does not read holds this up. Here the error is gone, and with it the stream and all that it had to send.
        return await self._abort(context, refusal)

    async def _serve(
        self, requests: AsyncIterator[pb.SessionRequest | None], context: Context
    ) -> None:
        await self._let_in(requests)
        identity = await self._authenticate(context)
        stream = AgentStream(self._services, identity, self._rotation(), self._place)
        self._open[stream] = None
        _streams.add(1)
        try:
            await stream.run(requests, context.write)
        finally:
            del self._open[stream]
            _streams.add(-1)

    def _rotation(self) -> Rotation:
        settings = self._services.settings
        jitter = 1 + _ROTATION_JITTER * (2 * self._random.random() - 1)
        drain_at = (
            self._services.clock.monotonic() + settings.stream_max_age.total_seconds() * jitter
        )
        grace = settings.drain_grace.total_seconds()
        return Rotation(drain_at, after=self._random.random() * grace, grace=grace)

    async def _let_in(self, requests: AsyncIterator[pb.SessionRequest | None]) -> None:
        """Refuse before anything was done what can't be done now."""
        try:
            self._require_place()
            await self._pace()
        except CallRefused:
            # After its Hello: gRPC tells an agent that writes into an ended call that this failed, and neither why nor when to come again.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._services.settings.hello_timeout.total_seconds()):
                    async for _ in requests:
                        break
            raise

    async def _pace(self) -> None:
        if self._stopping:
            raise CallRefused(SHUTDOWN)
        now = self._services.clock.monotonic()
        wait = self._handshakes.wait_for(now)
        if wait > _LONGEST_HANDSHAKE_WAIT:
            raise self._crowded(wait)
        await asyncio.sleep(self._handshakes.take(now))

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take a place for the work of a handshake. Who says nothing takes none."""
        self._require_place()
        clock = self._services.clock
        since = clock.monotonic()
        self._gate.enter()
        try:
            yield
        finally:
            self._gate.leave(clock.monotonic() - since)

    def _require_place(self) -> None:
        if self._gate.is_full:
            # In the mean what is told is the turn.
            raise self._crowded(self._gate.turn(self._services.clock.monotonic()) / 1.5)

    def _crowded(self, wait: float) -> CallRefused:
        # Spread over the time that the queue needs, so that they do not all come back together.
        return CallRefused(crowded(timedelta(seconds=wait * (1 + self._random.random()))))

    async def _authenticate(self, context: Context) -> AgentIdentity:
        metadata = dict(context.invocation_metadata() or ())
        try:
            return await self._authenticator.authenticate(metadata.get("authorization"))
        except BadAssertion as problem:
            code = grpc.StatusCode.UNAUTHENTICATED
            told = (time_metadata(self._services.clock),)
            raise CallRefused(Refusal(code, str(problem), told)) from problem

    async def _enrol(self, request: pb.EnrolRequest | None) -> pb.EnrolResponse:
        if request is None:
            raise CallRefused(UNREADABLE)
        await self._pace()
        try:
            enrolled = await enrol_agent(
                self._services.log,
                self._credentials,
                self._ids,
                self._services.clock,
                token=request.token,
                name=request.name,
                public_key=request.public_key,
            )
        except NotAuthenticated as problem:
            raise CallRefused(
                Refusal(grpc.StatusCode.UNAUTHENTICATED, _sentence(problem))
            ) from problem
        except UseCaseError as problem:
            raise CallRefused(
                Refusal(grpc.StatusCode.INVALID_ARGUMENT, _sentence(problem))
            ) from problem
        except Refused as refused:
            raise CallRefused(
                Refusal(grpc.StatusCode.PERMISSION_DENIED, refused.message)
            ) from refused
        return pb.EnrolResponse(
            agent_id=str(enrolled.agent),
            workspace_id=str(enrolled.workspace.id),
            pool=await self._store.pool_name(enrolled.workspace.ws, enrolled.pool),
        )

    async def _abort(self, context: Context, refusal: Refusal) -> NoReturn:
        _refusals.add(1, {"code": refusal.code.name})
        await context.abort(refusal.code, refusal.message, refusal.metadata)


def _sentence(problem: UseCaseError) -> str:
    details = [f"{item.path} {item.message}" for item in problem.problems]
    return " ".join(part for part in (problem.message, *details, problem.hint) if part)
