"""The hash chain of a workspace's log: h_n = SHA-256(h_(n-1) || envelope || SHA-256(payload)), h_0 = SHA-256(workspace id).

The envelope is canonical: numbers in fixed width and network order, texts with their length in front, so that no two
envelopes share their bytes. The payload goes in by its digest, and erasable content only by the digest that the payload
holds: erasing it breaks nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from headway_control_plane.domain.streams import Stream

_PLACE = struct.Struct(">16sqq")  # workspace, epoch, offset
_STREAM = struct.Struct(">h16sq")  # kind, id, fence
_NUMBER = struct.Struct(">q")
_BODY = struct.Struct(">h16sq")  # schema version, event id, occurred at (microseconds)
_LENGTH = struct.Struct(">H")
_NO_CAUSATION = b"\x00"


def origin(workspace: UUID) -> bytes:
    """Return h_0."""
    return sha256(workspace.bytes).digest()


def stream_bytes(stream: Stream) -> bytes:
    return _STREAM.pack(stream.kind, stream.id.bytes, stream.fence)


def body_bytes(type_: bytes, schema_version: int, event_id: bytes, occurred_us: int) -> bytes:
    """Return the part of the envelope that is known before the event has a place."""
    return _LENGTH.pack(len(type_)) + type_ + _BODY.pack(schema_version, event_id, occurred_us)


def origin_bytes(actor: str, causation: UUID | None, traceparent: str) -> bytes:
    """Return the part of the envelope that says where the event came from."""
    cause = _NO_CAUSATION if causation is None else b"\x01" + causation.bytes
    return _prefixed(actor) + cause + _prefixed(traceparent)


def link(  # noqa: PLR0917 - the envelope's parts, in the envelope's order
    chain: bytes,
    workspace: UUID,
    epoch: int,
    first_offset: int,
    stream: bytes,
    first_version: int,
    events: Sequence[tuple[bytes, bytes]],
    recorded_us: int,
    source: bytes,
) -> list[bytes]:
    """Return h for consecutive events of one stream, written at one time and by one actor.

    Args:
        chain: h before the first of them.
        workspace: The workspace's id.
        epoch: Of the log.
        first_offset: Place of the first.
        stream: `stream_bytes` of their stream.
        first_version: Place of the first in its stream.
        events: For each, `body_bytes` and the digest of its payload.
        recorded_us: When they are recorded, in microseconds.
        source: `origin_bytes` of all of them.
    """
    tail = _NUMBER.pack(recorded_us) + source
    place, number, workspace_bytes = _PLACE.pack, _NUMBER.pack, workspace.bytes
    links = []
    for n, (body, digest) in enumerate(events):
        envelope = (
            chain,
            place(workspace_bytes, epoch, first_offset + n),
            stream,
            number(first_version + n),
            body,
            tail,
            digest,
        )
        chain = sha256(b"".join(envelope)).digest()
        links.append(chain)
    return links


def _prefixed(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded
