"""Trading a single-use token for an identity."""

import grpc
import grpc.aio

from headway_agent.connection.calls import metadata_of, stub_of
from headway_agent.connection.channel import Target, open_channel
from headway_agent.connection.errors import Failure, Reaction, failure
from headway_agent.connection.identity import Identity, new_key_pair
from headway_api.agent.v1 import agent_service_pb2 as wire

TIMEOUT_S = 20.0
_BAD_TOKEN = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
}


async def enrol(target: Target, token: str, name: str) -> Identity:
    """Makes a key pair here and binds it to an agent there. Raises `Failure`."""
    private, public = new_key_pair()
    # The machine's name is the customer's: without a chosen one, the key's beginning names the agent.
    request = wire.EnrolRequest(
        token=token.strip(), name=name or f"agent-{public.hex()[:6]}", public_key=public
    )
    channel = open_channel(target)
    try:
        response = await stub_of(channel).Enrol(request, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise _explained(error) from error
    finally:
        await channel.close()
    return Identity(
        agent_id=response.agent_id,
        workspace_id=response.workspace_id,
        pool=response.pool,
        endpoint=target.authority,
        private_key=private,
        public_key=public,
    )


def _explained(error: grpc.aio.AioRpcError) -> Failure:
    detail = error.details() or ""
    if error.code() in _BAD_TOKEN:
        return Failure(
            Reaction.EXIT,
            "the enrolment token was not accepted: it is wrong, too old or used already; get a new one with "
            "`headway agents token POOL`",
            detail,
        )
    metadata = metadata_of(error.trailing_metadata())
    return failure(error.code(), detail, metadata, corrected_now_us=0)
