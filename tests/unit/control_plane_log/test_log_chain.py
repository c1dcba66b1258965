"""The chain's envelope is canonical: every part counts, and no two envelopes share their bytes."""

from hashlib import sha256
from uuid import UUID

import pytest

from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log import chain

WORKSPACE = UUID("01a2044d-0000-7000-8000-000000000001")
EVENT = UUID("01a2044d-0000-7000-8000-000000000002").bytes
CAUSE = UUID("01a2044d-0000-7000-8000-000000000003")
STREAM = Stream(StreamKind.ATTEMPT, UUID("01a2044d-0000-7000-8000-000000000004"), 3)

PARTS = {
    "chain": b"c" * 32,
    "workspace": WORKSPACE,
    "epoch": 1,
    "offset": 9,
    "stream": STREAM,
    "version": 4,
    "type": "CallEnded",
    "schema_version": 1,
    "event_id": EVENT,
    "occurred_us": 5,
    "recorded_us": 6,
    "actor": "agent/1",
    "causation": CAUSE,
    "traceparent": "00-1",
    "digest": b"d" * 32,
}
CHANGES = {
    "chain": b"x" * 32,
    "workspace": CAUSE,
    "epoch": 2,
    "offset": 10,
    "stream": Stream(StreamKind.RUN, STREAM.id, 3),
    "version": 5,
    "type": "CallStarted",
    "schema_version": 2,
    "event_id": CAUSE.bytes,
    "occurred_us": 6,
    "recorded_us": 7,
    "actor": "agent/2",
    "causation": None,
    "traceparent": "",
    "digest": b"x" * 32,
}


def link(**changes) -> bytes:
    p = PARTS | changes
    body = chain.body_bytes(
        p["type"].encode(), p["schema_version"], p["event_id"], p["occurred_us"]
    )
    source = chain.origin_bytes(p["actor"], p["causation"], p["traceparent"])
    (linked,) = chain.link(
        p["chain"],
        p["workspace"],
        p["epoch"],
        p["offset"],
        chain.stream_bytes(p["stream"]),
        p["version"],
        [(body, p["digest"])],
        p["recorded_us"],
        source,
    )
    return linked


def test_the_chain_begins_with_the_workspace():
    assert chain.origin(WORKSPACE) == sha256(WORKSPACE.bytes).digest()


def test_the_envelope_is_these_bytes():
    """Written out once, so that nobody changes it unseen: every stored chain depends on it."""
    envelope = (
        WORKSPACE.bytes
        + (1).to_bytes(8)
        + (9).to_bytes(8)
        + (7).to_bytes(2)
        + STREAM.id.bytes
        + (3).to_bytes(8)
        + (4).to_bytes(8)
        + len("CallEnded").to_bytes(2)
        + b"CallEnded"
        + (1).to_bytes(2)
        + EVENT
        + (5).to_bytes(8)
        + (6).to_bytes(8)
        + len("agent/1").to_bytes(2)
        + b"agent/1"
        + b"\x01"
        + CAUSE.bytes
        + len("00-1").to_bytes(2)
        + b"00-1"
    )
    assert link() == sha256(b"c" * 32 + envelope + b"d" * 32).digest()


@pytest.mark.parametrize("part", CHANGES)
def test_every_part_counts(part):
    assert link(**{part: CHANGES[part]}) != link()


def test_texts_cannot_lend_each_other_bytes():
    assert link(actor="ab", traceparent="c") != link(actor="a", traceparent="bc")


def test_consecutive_events_link_as_single_ones_do():
    events = [(b"one", b"1" * 32), (b"two", b"2" * 32), (b"three", b"3" * 32)]
    stream, source = chain.stream_bytes(STREAM), chain.origin_bytes("a", None, "")
    together = chain.link(b"c" * 32, WORKSPACE, 1, 5, stream, 2, events, 9, source)
    last, singly = b"c" * 32, []
    for n, event in enumerate(events):
        (last,) = chain.link(last, WORKSPACE, 1, 5 + n, stream, 2 + n, [event], 9, source)
        singly.append(last)
    assert together == singly
