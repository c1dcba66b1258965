"""Domain events and their messages have the same fields, and survive the way there and back."""

import dataclasses
import typing
from datetime import datetime

import pytest

from headway_api.event.v1 import control_pb2
from headway_control_plane.domain.run.events import RunCreated, RunFailed, RunGranted
from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.codec import EVENT_TYPES, FACT_TYPES, Undecodable, decode, encode


def test_every_message_of_the_control_plane_has_its_event_and_back():
    parts = {"Waiting"}
    assert set(control_pb2.DESCRIPTOR.message_types_by_name) == set(EVENT_TYPES) | parts


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_fields_have_the_same_names(name):
    event = EVENT_TYPES[name]
    hints = typing.get_type_hints(event)
    names = {
        f"{f.name}_us" if hints[f.name] in (datetime, datetime | None) else f.name
        for f in dataclasses.fields(event)
    }
    assert names == set(getattr(control_pb2, name).DESCRIPTOR.fields_by_name)


def test_content_goes_beside_the_event_and_never_into_it():
    text = Blob.of(b"secret words")
    encoded = encode(RunFailed(1, "error", "ValueError", text))
    assert b"secret" not in encoded.payload
    assert encoded.blobs == (text,)
    again = decode("RunFailed", encoded.payload)
    assert again == RunFailed(1, "error", "ValueError", text)
    assert again.error_text.content is None


def test_an_unknown_type_decodes_to_nothing():
    assert decode("RunDreamt", b"") is None


@pytest.mark.parametrize("name", ["RunGranted", "CallEnded"])
def test_broken_bytes_are_a_typed_error(name):
    with pytest.raises(Undecodable):
        decode(name, b"\xff\xff\xff")


def test_an_event_with_an_id_of_the_wrong_length_is_a_typed_error():
    payload = control_pb2.RunGranted(fence=1, session=b"short").SerializeToString()
    with pytest.raises(Undecodable):
        decode("RunGranted", payload)


def test_facts_are_all_messages_but_the_parts_of_others():
    assert "AttemptExited" in FACT_TYPES
    assert not {"Error", "Result"} & FACT_TYPES.keys()
    assert {RunCreated, RunGranted} <= set(EVENT_TYPES.values())
