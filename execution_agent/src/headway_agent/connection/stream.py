"""One stream to the control plane: messages up and down, and what its end means."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Protocol, Self

import grpc
import grpc.aio

from headway_agent.connection.calls import metadata_of, stub_of
from headway_agent.connection.channel import Target, open_channel
from headway_agent.connection.errors import Failure, Reaction, failure
from headway_agent.connection.identity import Assertions
from headway_agent.connection.permits import ENVELOPE, Permits, scrub
from headway_agent.connection.tap import Tap
from headway_api.agent.v1 import agent_service_pb2 as wire


class Stream(Protocol):
    """What the loops need of a stream. Every failure is a `Failure`."""

    async def send(self, message: wire.SessionRequest, permits: Permits) -> None:
        """Sends, leaving out what is not permitted. Waits while the control plane does not read."""

    def messages(self) -> AsyncIterator[wire.SessionResponse]:
        """What comes down; ends by `Failure`, for a stream is not meant to end."""

    async def finish(self) -> None:
        """Says that nothing more is sent."""


class GrpcStream:
    """The stream over gRPC. Opened and closed as a context."""

    def __init__(self, target: Target, assertions: Assertions, tap: Tap | None) -> None:
        self._channel = open_channel(target)
        self._assertions = assertions
        self._tap = tap
        self._call = stub_of(self._channel).Session(metadata=assertions.metadata())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call.cancel()
        await self._channel.close()

    async def send(self, message: wire.SessionRequest, permits: Permits) -> None:
        # The last gate: whatever built the message, nothing beyond the permits passes here.
        scrub(message, permits | ENVELOPE)
        if self._tap is not None:
            self._tap.write(message)
        try:
            await self._call.write(message)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError) as error:
            raise await self._end() from error

    async def messages(self) -> AsyncIterator[wire.SessionResponse]:
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                if not isinstance(message, wire.SessionResponse):
                    # gRPC says so by None, and the call goes on: its end would be waited for in vain.
                    raise Failure(Reaction.RETRY, "the control plane sent what can't be read")
                yield message
        except grpc.aio.AioRpcError as error:
            raise await self._end() from error
        raise await self._end()

    async def finish(self) -> None:
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.UsageError) as error:
            raise await self._end() from error

    async def _end(self) -> Failure:
        # After a failed write or the last message the status is there or on its way.
        metadata = metadata_of(await self._call.trailing_metadata())
        code = await self._call.code()
        detail = await self._call.details() or ""
        return failure(code, detail, metadata, self._assertions.now_us())
