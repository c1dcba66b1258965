"""Domain events <-> their protobuf messages, by the names of their fields.

Built once from the dataclasses: a Blob is its digest, an instant is microseconds under `<name>_us`, an id is its
16 bytes, a tuple is repeated, an enum is its value. The type of an event is the name of its class and its message.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf.message import DecodeError, Message

from headway_api.event.v1 import attempt_pb2, control_pb2
from headway_control_plane.domain.agent.events import AgentEvent
from headway_control_plane.domain.deployment.events import DeploymentEvent
from headway_control_plane.domain.pool.events import PoolEvent
from headway_control_plane.domain.run.events import RunEvent
from headway_control_plane.domain.session.events import SessionEvent
from headway_control_plane.domain.streams import Blob
from headway_control_plane.domain.variables.events import VariableEvent
from headway_control_plane.domain.workspace.events import WorkspaceEvent
from headway_control_plane.log.packed import from_us, to_us

SCHEMA_VERSION = 1  # that this code writes, of every type


class Undecodable(Exception):
    """The bytes are no event of their type."""


@dataclasses.dataclass(frozen=True, slots=True)
class Encoded:
    """An event as it is stored, and the erasable content that it names by digest."""

    type: str
    schema_version: int
    payload: bytes
    blobs: tuple[Blob, ...]


Convert = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str  # in the dataclass
    proto: str  # in the message
    to_proto: Convert
    from_proto: Convert
    is_blob: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Type:
    event: type
    message: type[Message]
    fields: tuple[_Field, ...]

    def encode(self, event: Any) -> Encoded:
        blobs = tuple(getattr(event, f.name) for f in self.fields if f.is_blob)
        payload = self.to_message(event).SerializeToString(deterministic=True)
        return Encoded(
            self.event.__name__,
            SCHEMA_VERSION,
            payload,
            tuple(blob for blob in blobs if blob.content is not None),
        )

    def decode(self, payload: bytes) -> Any:
        return self.of_message(self.message.FromString(payload))

    def to_message(self, event: Any) -> Message:
        return self.message(**{f.proto: f.to_proto(getattr(event, f.name)) for f in self.fields})

    def of_message(self, message: Any) -> Any:
        return self.event(**{f.name: f.from_proto(getattr(message, f.proto)) for f in self.fields})


def _same(value: Any) -> Any:
    return value


def _field(name: str, hint: Any) -> _Field:
    if typing.get_origin(hint) is tuple:
        return _repeated(name, typing.get_args(hint)[0])
    if isinstance(hint, types.UnionType):
        return _optional(name, hint)
    if hint is datetime:
        return _Field(name, f"{name}_us", to_us, from_us, is_blob=False)
    if hint is UUID:
        return _Field(name, name, lambda v: v.bytes, lambda b: UUID(bytes=b), is_blob=False)
    if hint is Blob:
        return _Field(name, name, lambda v: v.digest, Blob, is_blob=True)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _Field(name, name, lambda v: v.value, hint, is_blob=False)
    if hint in {str, int, bool, bytes}:
        return _Field(name, name, _same, _same, is_blob=False)
    raise TypeError(f"no rule for a field of type {hint}")


def _repeated(name: str, item: type) -> _Field:
    if not dataclasses.is_dataclass(item):
        return _Field(name, name, list, tuple, is_blob=False)
    part = _build(item)
    return _Field(
        name,
        name,
        lambda items: [part.to_message(one) for one in items],
        lambda messages: tuple(part.of_message(one) for one in messages),
        is_blob=False,
    )


def _optional(name: str, hint: types.UnionType) -> _Field:
    """None is the message's default: no id is empty and nothing happens at the beginning of 1970."""
    [wanted] = [each for each in typing.get_args(hint) if each is not types.NoneType]
    field = _field(name, wanted)
    return dataclasses.replace(
        field,
        to_proto=lambda value: None if value is None else field.to_proto(value),
        from_proto=lambda value: field.from_proto(value) if value else None,
    )


def _classes_of(union: Any) -> tuple[type, ...]:
    return typing.get_args(union) if isinstance(union, types.UnionType) else (union,)


def _build(event: type) -> _Type:
    hints = typing.get_type_hints(event)
    fields = tuple(_field(f.name, hints[f.name]) for f in dataclasses.fields(event))
    return _Type(event, getattr(control_pb2, event.__name__), fields)


_EVENTS = (
    WorkspaceEvent,
    PoolEvent,
    DeploymentEvent,
    AgentEvent,
    SessionEvent,
    RunEvent,
    VariableEvent,
)
_TYPES = {cls: _build(cls) for union in _EVENTS for cls in _classes_of(union)}
_BY_NAME = {built.event.__name__: built for built in _TYPES.values()}

EVENT_TYPES: dict[str, type] = {name: built.event for name, built in _BY_NAME.items()}
# An attempt's facts are the messages themselves, but for those that are parts of others.
_PARTS = {"Error", "Result", "Wait"}
FACT_TYPES: dict[str, type[Message]] = {
    name: getattr(attempt_pb2, name)
    for name in attempt_pb2.DESCRIPTOR.message_types_by_name
    if name not in _PARTS
}


def encode(event: Any) -> Encoded:
    """Encode a domain event."""
    return _TYPES[type(event)].encode(event)


def decode(type_: str, payload: bytes) -> Any:
    """Decode an event or a fact of the newest schema version; None for a type that this code does not know.

    Raises:
        Undecodable: The bytes are no such event.
    """
    try:
        if (fact := FACT_TYPES.get(type_)) is not None:
            return fact.FromString(payload)
        built = _BY_NAME.get(type_)
        return None if built is None else built.decode(payload)
    except (DecodeError, ValueError, OverflowError) as error:
        raise Undecodable(f"{type_}: {error}") from error
