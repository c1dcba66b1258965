"""The service's methods as gRPC serves them. Bytes that are no message reach the service as None: whose fault they are is for it to say.

With the generated registration they would be an exception of the handler, told as a defect of ours and logged with its traceback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.agent.v1.agent_service_pb2_grpc import AgentServiceServicer

_NAME = pb.DESCRIPTOR.services_by_name["AgentService"].full_name

M = TypeVar("M", bound=Message)


def serve(service: AgentServiceServicer, server: grpc.aio.Server) -> None:
    """Let the server answer the service's calls."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Enrol": grpc.unary_unary_rpc_method_handler(
            service.Enrol, _reader(pb.EnrolRequest), pb.EnrolResponse.SerializeToString
        ),
        "Session": grpc.stream_stream_rpc_method_handler(
            service.Session, _reader(pb.SessionRequest), pb.SessionResponse.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_NAME, handlers),))


def _reader(kind: type[M]) -> Callable[[bytes], M | None]:
    def read(content: bytes) -> M | None:
        try:
            return kind.FromString(content)
        except DecodeError:
            return None

    return read
