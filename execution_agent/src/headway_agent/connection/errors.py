"""What a failed call means for the agent. One table, so that no loop decides for itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import grpc


class Reaction(Enum):
    """RETRY: dial again with backoff. CLOCK: dial again at once with the corrected clock. REENROL: the identity is
    not accepted; only a new enrolment helps. EXIT: no repetition helps. MISUNDERSTOOD: no repetition helps an agent that
    was never welcomed; where one was, the stream was damaged on its way, and another one may be whole.
    """

    RETRY = "retry"
    CLOCK = "clock"
    REENROL = "re-enrol"
    EXIT = "exit"
    MISUNDERSTOOD = "misunderstood"


@dataclass(eq=False)  # not frozen: what passes an exception on writes its traceback into it
class Failure(Exception):
    """A stream or call ended. `message` says what to do; `detail` is the control plane's own word."""

    reaction: Reaction
    message: str
    detail: str = ""
    retry_after: float | None = None
    server_time_us: int | None = None
    # The session's id is used up: the next stream needs a new one.
    session_over: bool = False
    # The log has this epoch, not the one that Hello named: what was acknowledged may be lost.
    epoch: int | None = None

    def __str__(self) -> str:
        return f"{self.message} ({self.detail})" if self.detail else self.message


_Code = grpc.StatusCode
TABLE: Mapping[grpc.StatusCode, tuple[Reaction, str]] = {
    _Code.OK: (Reaction.RETRY, "the control plane ended the stream"),
    _Code.UNAVAILABLE: (
        Reaction.RETRY,
        "the control plane can't be reached; `headway agent doctor` finds out where the way ends",
    ),
    _Code.DEADLINE_EXCEEDED: (Reaction.RETRY, "the control plane did not answer in time"),
    _Code.RESOURCE_EXHAUSTED: (Reaction.RETRY, "the control plane asks for patience"),
    _Code.ABORTED: (Reaction.RETRY, "the control plane gave the stream up"),
    _Code.CANCELLED: (Reaction.RETRY, "the stream was cut"),
    _Code.INTERNAL: (Reaction.RETRY, "the control plane or a proxy on the way failed"),
    _Code.UNKNOWN: (Reaction.RETRY, "the control plane or a proxy on the way failed"),
    _Code.DATA_LOSS: (Reaction.RETRY, "a message was damaged on its way"),
    _Code.UNIMPLEMENTED: (
        Reaction.RETRY,
        "something answers at this address, but not Headway's agent service: check HEADWAY_AGENT_SERVER, and that proxies "
        "on the way let gRPC over HTTP/2 pass",
    ),
    _Code.UNAUTHENTICATED: (
        Reaction.REENROL,
        "the control plane does not accept this agent's identity (revoked, or enrolled elsewhere): get a token with "
        "`headway agents token POOL` and run `headway agent enrol --force`",
    ),
    _Code.NOT_FOUND: (
        Reaction.REENROL,
        "the control plane does not know this agent: get a token with `headway agents token POOL` and run "
        "`headway agent enrol --force`",
    ),
    _Code.PERMISSION_DENIED: (
        Reaction.EXIT,
        "the control plane refuses this agent: an administrator must allow it again, or enrol it anew",
    ),
    _Code.FAILED_PRECONDITION: (
        Reaction.EXIT,
        "the control plane does not take this agent's protocol: install a version of headway-agent that fits it",
    ),
    _Code.INVALID_ARGUMENT: (
        Reaction.MISUNDERSTOOD,
        "the control plane does not understand this agent: install a version of headway-agent that fits it; if it did "
        "before, something on the way damages streams",
    ),
    _Code.OUT_OF_RANGE: (
        Reaction.EXIT,
        "the control plane does not take this agent's protocol: install a version of headway-agent that fits it",
    ),
    _Code.ALREADY_EXISTS: (
        Reaction.EXIT,
        "another process uses this agent's identity: give each agent a state directory of its own",
    ),
}

TIME_KEY = "x-headway-time-us"
RETRY_AFTER_KEY = "x-headway-retry-after-ms"
SESSION_KEY = "x-headway-session"
EPOCH_KEY = "x-headway-epoch"
_NUMBER = re.compile(r"-?[0-9]{1,18}")
SKEW_US = 5_000_000
"""A clock that is wrong by less than this is not why an assertion was refused."""


def failure(
    code: grpc.StatusCode,
    detail: str,
    metadata: Mapping[str, str],
    corrected_now_us: int,
) -> Failure:
    """What to do about a call that ended with `code`. `corrected_now_us` is the clock that its assertion used."""
    reaction, message = TABLE[code]
    server_time_us = _number(metadata.get(TIME_KEY))
    if (
        reaction is Reaction.REENROL
        and server_time_us is not None
        and abs(server_time_us - corrected_now_us) > SKEW_US
    ):
        reaction, message = Reaction.CLOCK, "this machine's clock is wrong"
    retry_after_ms = _number(metadata.get(RETRY_AFTER_KEY))
    return Failure(
        reaction,
        message,
        detail,
        None if retry_after_ms is None else max(retry_after_ms, 0) / 1_000,
        server_time_us,
        session_over=metadata.get(SESSION_KEY) == "over",
        epoch=_number(metadata.get(EPOCH_KEY)),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None
