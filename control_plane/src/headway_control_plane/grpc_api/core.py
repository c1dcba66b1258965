"""The server's side of one agent stream: the pure core. It judges what comes up and says what is to be done; it touches nothing.

Order and limits are decided here: Hello first and once, credits kept, planned rotation. What the database has to say comes back as inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import assert_never

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.grpc_api.settings import Limits
from headway_control_plane.grpc_api.wire import (
    PROTOCOL,
    Facts,
    Hello,
    Lines,
    Malformed,
    TooMuch,
    read_facts,
    read_hello,
    read_lines,
    read_slots,
)


class Ending(Enum):
    """Why a stream is closed from this side; the adapter knows the status code of each."""

    MALFORMED = auto()
    TOO_MUCH = auto()
    PROTOCOL = auto()
    ROTATION = auto()


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a stream is asked to move, on the monotonic clock; `after` is what it is told, `grace` how long it may take beyond."""

    drain_at: float
    after: float
    grace: float


@dataclass(frozen=True, slots=True)
class Stream:
    """`batches` are unanswered fact batches and what each costs, `line_bytes` the unanswered output."""

    limits: Limits
    rotation: Rotation
    greeted: bool = False
    leaving: bool = False
    batches: Mapping[int, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))
    line_bytes: int = 0
    gone_by: float | None = None  # after Drain: when the stream is closed


# Inputs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    message: pb.SessionRequest


@dataclass(frozen=True, slots=True)
class Answered:
    """The Ack of a fact batch was queued."""

    batch: int


@dataclass(frozen=True, slots=True)
class LinesAnswered:
    bytes: int


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class MoveNow:
    """The process is about to end: ask the agent to go elsewhere in so many seconds."""

    after: float


Input = Received | Answered | LinesAnswered | Ticked | MoveNow


# Effects ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    hello: Hello


@dataclass(frozen=True, slots=True)
class Renew:
    id: int


@dataclass(frozen=True, slots=True)
class SetSlots:
    slots: int


@dataclass(frozen=True, slots=True)
class StoreFacts:
    facts: Facts


@dataclass(frozen=True, slots=True)
class StoreLines:
    lines: Lines


@dataclass(frozen=True, slots=True)
class Leave:
    reason: str
    handover: bool


@dataclass(frozen=True, slots=True)
class AskToMove:
    after: float


@dataclass(frozen=True, slots=True)
class Close:
    why: Ending
    message: str


Effect = Open | Renew | SetSlots | StoreFacts | StoreLines | Leave | AskToMove | Close
Effects = tuple[Effect, ...]


def step(state: Stream, now: float, given: Input) -> tuple[Stream, Effects]:
    """Fold one input. After a Close nothing else is to be done for this stream."""
    match given:
        case Received():
            try:
                return _received(state, now, given.message)
            except Malformed as problem:
                return state, (Close(Ending.MALFORMED, str(problem)),)
            except TooMuch as problem:
                return state, (Close(Ending.TOO_MUCH, str(problem)),)
        case Answered():
            left = {id_: cost for id_, cost in state.batches.items() if id_ != given.batch}
            return replace(state, batches=MappingProxyType(left)), ()
        case LinesAnswered():
            return replace(state, line_bytes=state.line_bytes - given.bytes), ()
        case Ticked():
            return _rotate(state, now)
        case MoveNow():
            gone_by = now + given.after + state.rotation.grace
            return replace(state, gone_by=gone_by), (AskToMove(given.after),)
        case _:
            assert_never(given)


def wake_at(state: Stream) -> float:
    """When a Ticked is due."""
    return state.rotation.drain_at if state.gone_by is None else state.gone_by


def _received(state: Stream, now: float, message: pb.SessionRequest) -> tuple[Stream, Effects]:
    kind = message.WhichOneof("message")
    if kind == "hello":
        return _hello(state, message.hello)
    if not state.greeted:
        raise Malformed("The first message of a stream is Hello.")
    if state.leaving:
        raise Malformed("Nothing follows a Goodbye.")
    match kind:
        case "renew":
            rotated, effects = _rotate(state, now)
            return rotated, (Renew(message.renew.id), *effects)
        case "slots":
            return state, (SetSlots(read_slots(message.slots.slots, state.limits)),)
        case "facts":
            return _facts(state, read_facts(message.facts, state.limits))
        case "logs":
            return _lines(state, read_lines(message.logs, state.limits))
        case "goodbye":
            goodbye = message.goodbye
            return replace(state, leaving=True), (Leave(goodbye.reason[:200], goodbye.handover),)
        case _:
            raise Malformed("The message is of a kind that this control plane does not know.")


def _hello(state: Stream, message: pb.Hello) -> tuple[Stream, Effects]:
    if state.greeted:
        raise Malformed("Hello comes once in a stream.")
    if message.protocol != PROTOCOL:
        sentence = f"This control plane speaks protocol {PROTOCOL}, the agent {message.protocol}. Install a version of headway-agent that fits it."
        return state, (Close(Ending.PROTOCOL, sentence),)
    return replace(state, greeted=True), (Open(read_hello(message, state.limits)),)


def _facts(state: Stream, facts: Facts) -> tuple[Stream, Effects]:
    if facts.id in state.batches:
        raise Malformed(f"The batch id {facts.id} is still unanswered; use a new one.")
    batches = {**state.batches, facts.id: (facts.count, facts.bytes)}
    limits = state.limits
    # A batch that alone is over the credit may be sent when nothing else is on its way.
    if len(batches) > 1 and (
        sum(count for count, _ in batches.values()) > limits.credit_facts
        or sum(size for _, size in batches.values()) > limits.credit_bytes
    ):
        raise TooMuch("More facts are unacknowledged than Welcome gave credit for.")
    return replace(state, batches=MappingProxyType(batches)), (StoreFacts(facts),)


def _lines(state: Stream, lines: Lines) -> tuple[Stream, Effects]:
    size = len(lines.content)
    if state.line_bytes and state.line_bytes + size > state.limits.credit_bytes:
        raise TooMuch("More output is unacknowledged than Welcome gave credit for.")
    return replace(state, line_bytes=state.line_bytes + size), (StoreLines(lines),)


def _rotate(state: Stream, now: float) -> tuple[Stream, Effects]:
    if state.gone_by is not None:
        due = now >= state.gone_by
        return state, ((Close(Ending.ROTATION, "Planned rotation; reconnect."),) if due else ())
    if now < state.rotation.drain_at:
        return state, ()
    gone_by = now + state.rotation.after + state.rotation.grace
    return replace(state, gone_by=gone_by), (AskToMove(state.rotation.after),)
