"""How a call is refused: one table from our reasons to gRPC's status codes, and the metadata that tells the agent how to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import grpc

from headway_control_plane.application.ports import Unavailable
from headway_control_plane.clock import Clock
from headway_control_plane.grpc_api.core import Ending
from headway_control_plane.grpc_api.registry import Cut

TIME_KEY = "x-headway-time-us"
RETRY_AFTER_KEY = "x-headway-retry-after-ms"
SESSION_KEY = "x-headway-session"
"""Its value `over` says: this session id is used up, open the next stream under a new one."""
EPOCH_KEY = "x-headway-epoch"
"""The log's present epoch, for an agent that rests on acknowledgements of another one."""

_Code = grpc.StatusCode
_RETRY_AFTER_OUTAGE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call ends with this status. The message goes to the agent."""

    code: grpc.StatusCode
    message: str
    metadata: tuple[tuple[str, str], ...] = ()


class CallRefused(Exception):
    """Ends the call. Made anew each time: an exception remembers every place it was raised at, and all that lived there."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


ENDINGS: Mapping[Ending, grpc.StatusCode] = {
    Ending.MALFORMED: _Code.INVALID_ARGUMENT,
    Ending.TOO_MUCH: _Code.RESOURCE_EXHAUSTED,
    Ending.PROTOCOL: _Code.FAILED_PRECONDITION,
    Ending.ROTATION: _Code.UNAVAILABLE,
}

_OVER = ((SESSION_KEY, "over"),)
CUTS: Mapping[Cut, Refusal] = {
    Cut.REPLACED: Refusal(_Code.ABORTED, "The agent opened a newer stream for this session."),
    Cut.SUPERSEDED: Refusal(
        _Code.ALREADY_EXISTS,
        "Another process opened a session with this agent's identity. Give each agent a state directory of its own.",
    ),
    Cut.SESSION_OVER: Refusal(
        _Code.ABORTED, "The session was closed. Reconnect with a new session id.", _OVER
    ),
    Cut.MOVED: Refusal(_Code.ABORTED, "The session has moved to another replica."),
    Cut.REVOKED: Refusal(
        _Code.UNAUTHENTICATED,
        "The agent was revoked. Enrol it with a new token: headway agent enrol.",
    ),
}

UNREADABLE = Refusal(
    _Code.INVALID_ARGUMENT,
    "The message cannot be read. Install a version of headway-agent that fits this control plane.",
)
OVERFLOW = Refusal(
    _Code.RESOURCE_EXHAUSTED, "The agent does not read what is sent to it. Reconnect."
)
DEFECT = Refusal(
    _Code.INTERNAL, "The control plane failed; the reason stands in its log. Reconnect."
)
SHUTDOWN = Refusal(_Code.UNAVAILABLE, "This replica is shutting down. Reconnect.")
NO_HELLO = Refusal(_Code.DEADLINE_EXCEEDED, "No Hello came in time.")
NOT_OPENED = Refusal(_Code.DEADLINE_EXCEEDED, "The session could not be opened in time. Reconnect.")


def new_epoch(epoch: int) -> Refusal:
    return Refusal(
        _Code.ABORTED,
        f"The log was restored without its newest events and is in epoch {epoch} now. Offer everything again that is kept.",
        ((EPOCH_KEY, str(epoch)),),
    )


def outage_refusal(outage: Exception) -> Refusal:
    """Come again. What the database says goes to our log alone: it may name hosts of ours and values of others."""
    if isinstance(outage, Unavailable):
        why, retry_after = str(outage), outage.retry_after
    else:
        why, retry_after = "The control plane's database does not answer.", _RETRY_AFTER_OUTAGE
    return Refusal(_Code.UNAVAILABLE, why, (retry_after_metadata(retry_after),))


def crowded(wait: timedelta) -> Refusal:
    return Refusal(
        _Code.RESOURCE_EXHAUSTED,
        "Too many agents connect at once; this one's turn comes later.",
        (retry_after_metadata(wait),),
    )


def retry_after_metadata(wait: timedelta) -> tuple[str, str]:
    return RETRY_AFTER_KEY, str(wait // timedelta(milliseconds=1))


def time_metadata(clock: Clock) -> tuple[str, str]:
    return TIME_KEY, str(int(clock.now().timestamp() * 1_000_000))
