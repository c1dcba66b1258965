"""Small things that every call needs."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import grpc.aio

from headway_api.agent.v1.agent_service_pb2_grpc import AgentServiceStub

if TYPE_CHECKING:
    # Exists for type checkers alone: the generated stub, as an asyncio channel makes it behave.
    from headway_api.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub


def stub_of(channel: grpc.aio.Channel) -> "AgentServiceAsyncStub":
    return cast("AgentServiceAsyncStub", AgentServiceStub(channel))


def metadata_of(pairs: Iterable[tuple[str, Any]] | None) -> dict[str, str]:
    """Metadata as a mapping of text; binary values are none of ours."""
    return {key: value for key, value in pairs or () if isinstance(value, str)}
