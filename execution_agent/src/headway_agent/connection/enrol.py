"""Trading a single-use token for an identity."""

import logging

import grpc
import grpc.aio
from tenacity import (
    AsyncRetrying,
    before_sleep_log,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from headway_agent.connection.calls import metadata_of, stub_of
from headway_agent.connection.channel import Target, open_channel
from headway_agent.connection.errors import Failure, Reaction, failure
from headway_agent.connection.identity import Identity, new_key_pair
from headway_api.agent.v1 import agent_service_pb2 as wire

TIMEOUT_S = 20.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0

log = logging.getLogger(__name__)

_BAD_TOKEN = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
}


async def enrol(target: Target, token: str, name: str, *, patience_s: float = 0.0) -> Identity:
    """Makes a key pair here and binds it to an agent there.

    A control plane that can't be reached is asked again for `patience_s`, always with the same key: an answer that was
    lost on its way then costs nothing. Raises `Failure`.
    """
    private, public = new_key_pair()
    tries = AsyncRetrying(
        retry=retry_if_exception(_is_temporary),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
        stop=stop_after_delay(patience_s),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    response: wire.EnrolResponse = await tries(_ask, target, token, name, public)
    return Identity(
        agent_id=response.agent_id,
        workspace_id=response.workspace_id,
        pool=response.pool,
        endpoint=target.authority,
        private_key=private,
        public_key=public,
    )


async def _ask(target: Target, token: str, name: str, public: bytes) -> wire.EnrolResponse:
    # The machine's name is the customer's: without a chosen one, the key's beginning names the agent.
    request = wire.EnrolRequest(
        token=token.strip(), name=name or f"agent-{public.hex()[:6]}", public_key=public
    )
    channel = open_channel(target)
    try:
        return await stub_of(channel).Enrol(request, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise _explained(error) from error
    finally:
        await channel.close()


def _is_temporary(error: BaseException) -> bool:
    return isinstance(error, Failure) and error.reaction is Reaction.RETRY


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
