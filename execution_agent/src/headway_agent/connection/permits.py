"""Which classes of data may leave. Default-deny: a class that was not permitted stays, and so does every field of it."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from headway_api.common.v1 import data_class_pb2 as classes

Permits = frozenset[int]

NOTHING: Permits = frozenset({classes.DATA_CLASS_CONTROL})
"""What the protocol's own words need; always permitted."""

ENVELOPE: Permits = frozenset(
    {
        classes.DATA_CLASS_CONTROL,
        classes.DATA_CLASS_ID,
        classes.DATA_CLASS_TIMING,
        classes.DATA_CLASS_COUNTER,
    }
)
"""What the agent protocol itself can't do without: it names attempts, counts facts, paces renewals."""


def permits_of(granted: Iterable[int]) -> Permits:
    return NOTHING | frozenset(granted)


def class_of(message: type[Message], field: str) -> int:
    """The class of a field; UNSPECIFIED, which nobody permits, when it states none."""
    return _class(message.DESCRIPTOR.fields_by_name[field])


def _class(field: Any) -> int:
    return int(field.GetOptions().Extensions[classes.data_class])


def scrub(message: Message, permits: Permits) -> None:
    """Clears every field of the message, however deep, whose class is not permitted."""
    denied, nested = _walk(message.DESCRIPTOR, permits)
    for name in denied:
        message.ClearField(name)
    for name, repeated in nested:
        if repeated:
            for inner in getattr(message, name):
                scrub(inner, permits)
        elif message.HasField(name):
            scrub(getattr(message, name), permits)


@lru_cache(maxsize=512)
def _walk(message: Any, permits: Permits) -> tuple[tuple[str, ...], tuple[tuple[str, bool], ...]]:
    """Which fields of a message to clear, and which to look into. Takes its descriptor."""
    allowed = [field for field in message.fields if _class(field) in permits]
    denied = tuple(field.name for field in message.fields if field not in allowed)
    nested = tuple(
        (field.name, field.is_repeated)
        for field in allowed
        if field.message_type is not None and any(_walk(field.message_type, permits))
    )
    return denied, nested
