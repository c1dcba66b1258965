"""Every event of every type, with any values, is the same after encoding and decoding; generated from the types' own fields."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.codec import EVENT_TYPES, encode
from headway_control_plane.log.upcast import Upcasters, decode_any

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=50)
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
PLAIN = {
    str: TEXT,
    int: st.integers(-(2**31), 2**31 - 1),
    bool: st.booleans(),
    bytes: st.binary(max_size=50),
    UUID: st.uuids(),
    datetime: INSTANTS,
    Blob: st.builds(Blob, st.binary(min_size=32, max_size=32)),
}


def values(hint):
    """Any value of a field. What may be absent is."""
    if typing.get_origin(hint) is tuple:
        return st.lists(values(typing.get_args(hint)[0]), max_size=4).map(tuple)
    if isinstance(hint, types.UnionType):
        return st.one_of(
            *(st.none() if part is type(None) else values(part) for part in typing.get_args(hint))
        )
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    if dataclasses.is_dataclass(hint) and hint not in PLAIN:
        return events(hint)
    return PLAIN[hint]


def events(kind):
    hints = typing.get_type_hints(kind)
    return st.builds(
        kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)}
    )


@pytest.mark.parametrize("name", EVENT_TYPES)
@settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_an_event_is_the_same_after_encoding_and_decoding(name, data):
    event = data.draw(events(EVENT_TYPES[name]))
    encoded = encode(event)
    assert decode_any(name, encoded.schema_version, encoded.payload) == event


@pytest.mark.parametrize("name", EVENT_TYPES)
@settings(
    max_examples=20,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_an_event_of_an_old_version_is_the_same_after_all_steps(name, data):
    """Steps that undo each other stand for real ones, as long as there is none."""
    event = data.draw(events(EVENT_TYPES[name]))
    encoded = encode(event)
    steps = Upcasters(
        {(name, 1): lambda payload: payload[::-1], (name, 2): lambda payload: payload[::-1]}
    )
    assert decode_any(name, 1, encoded.payload, steps) == event
    assert decode_any(name, 3, encoded.payload, steps) == event
    assert decode_any(name, 4, encoded.payload, steps) is None
