"""The columns of `event`, filled in groups: consecutive events of one stream by one actor."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import LiteralString
from uuid import UUID

from headway_control_plane.domain.streams import Stream
from headway_control_plane.log import chain, packed
from headway_control_plane.log.facts import Group, PreparedFacts
from headway_control_plane.log.packed import PackedArray

COLUMNS: tuple[tuple[str, type[PackedArray], str], ...] = (
    ("ws", packed.Int8Array, "bigint"),
    ("seg", packed.Int4Array, "integer"),
    ('"offset"', packed.Int8Array, "bigint"),
    ("epoch", packed.Int8Array, "bigint"),
    ("stream_kind", packed.Int2Array, "smallint"),
    ("stream_id", packed.UuidArray, "uuid"),
    ("fence", packed.Int8Array, "bigint"),
    ("version", packed.Int8Array, "bigint"),
    ("type", packed.TextArray, "text"),
    ("schema_version", packed.Int2Array, "smallint"),
    ("event_id", packed.UuidArray, "uuid"),
    ("occurred_at", packed.InstantArray, "timestamptz"),
    ("recorded_at", packed.InstantArray, "timestamptz"),
    ("actor", packed.TextArray, "text"),
    ("causation", packed.UuidArray, "uuid"),
    ("traceparent", packed.TextArray, "text"),
    ("payload", packed.BytesArray, "bytea"),
    ("chain", packed.BytesArray, "bytea"),
)
_NAMES = ", ".join(name for name, _, _ in COLUMNS)
INSERT_EVENTS: LiteralString = (
    f"INSERT INTO event ({_NAMES}) "  # noqa: S608 - constants
    f"SELECT * FROM unnest({', '.join(f'%b::{type_}[]' for _, _, type_ in COLUMNS)})"
)


@dataclass(slots=True)
class Head:
    """A workspace's head row while a flush moves it."""

    ws: int
    workspace: UUID
    shard: int
    epoch: int
    offset: int
    seg: int
    chain: bytes
    recorded_us: int  # of what this flush records
    first: int = field(init=False)  # offset of the first event of this flush
    segment_opened: int | None = None  # first offset of a segment that begins in this flush

    def __post_init__(self) -> None:
        self.first = self.offset + 1

    @property
    def moved(self) -> bool:
        return self.offset >= self.first

    @property
    def recorded_at(self) -> datetime:
        return packed.from_us(self.recorded_us)

    def enter(self, now_us: int, last_recorded_us: int) -> None:
        """Set the time of what is recorded now; neither it nor the segment ever goes back."""
        self.recorded_us = max(now_us, last_recorded_us)
        day = self.recorded_us // 86_400_000_000
        if day > self.seg:
            self.seg = day
            self.segment_opened = self.offset + 1


@dataclass(frozen=True, slots=True)
class Source:
    """Who and what brought events about, packed once for all of them."""

    actor: bytes
    causation: bytes
    traceparent: bytes
    chained: bytes

    @classmethod
    def of(cls, actor: str, causation: UUID | None, traceparent: str) -> Source:
        return cls(
            packed.text(actor),
            packed.NULL if causation is None else packed.uuid(causation),
            packed.text(traceparent),
            chain.origin_bytes(actor, causation, traceparent),
        )


class EventColumns:
    """All events of a flush, of all its workspaces, ready to be sent."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[list[bytes]] = [[] for _ in COLUMNS]

    def append(
        self, head: Head, stream: Stream, first_version: int, group: Group, source: Source
    ) -> None:
        """Give a group its place at the head's end and move the head."""
        count = len(group.links)
        links = chain.link(
            head.chain,
            head.workspace,
            head.epoch,
            head.offset + 1,
            chain.stream_bytes(stream),
            first_version,
            group.links,
            head.recorded_us,
            source.chained,
        )
        columns = (
            packed.int8(head.ws) * count,
            packed.int4(head.seg) * count,
            packed.int8_range(head.offset + 1, count),
            packed.int8(head.epoch) * count,
            packed.int2(stream.kind) * count,
            packed.uuid(stream.id) * count,
            packed.int8(stream.fence) * count,
            packed.int8_range(first_version, count),
            b"".join(group.types),
            b"".join(group.schema_versions),
            b"".join(group.event_ids),
            b"".join(group.occurred),
            packed.instant_us(head.recorded_us) * count,
            source.actor * count,
            source.causation * count,
            source.traceparent * count,
            b"".join(group.payloads),
            b"".join(map(packed.data, links)),
        )
        for part, column in zip(self._parts, columns, strict=True):
            part.append(column)
        self.count += count
        head.offset += count
        head.chain = links[-1]

    def arrays(self) -> list[PackedArray]:
        """Return the arrays in the order of INSERT_EVENTS."""
        return [
            array(self.count, b"".join(part))
            for (_, array, _), part in zip(COLUMNS, self._parts, strict=True)
        ]


LATE_COLUMNS: tuple[tuple[str, type[PackedArray], str], ...] = (
    ("ws", packed.Int8Array, "bigint"),
    ("run", packed.UuidArray, "uuid"),
    ("fence", packed.Int8Array, "bigint"),
    ("seq", packed.Int8Array, "bigint"),
    ("type", packed.TextArray, "text"),
    ("schema_version", packed.Int2Array, "smallint"),
    ("occurred_at", packed.InstantArray, "timestamptz"),
    ("received_at", packed.InstantArray, "timestamptz"),
    ("payload", packed.BytesArray, "bytea"),
)
_LATE_NAMES = ", ".join(name for name, _, _ in LATE_COLUMNS)
INSERT_LATE: LiteralString = (
    f"INSERT INTO late_fact ({_LATE_NAMES}) "  # noqa: S608 - constants
    f"SELECT * FROM unnest({', '.join(f'%b::{type_}[]' for _, _, type_ in LATE_COLUMNS)}) "
    "ON CONFLICT DO NOTHING"
)


class LateColumns:
    """Facts that came under an old fence: kept and shown, never in the log."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[list[bytes]] = [[] for _ in LATE_COLUMNS]

    def append(self, ws: int, facts: PreparedFacts, n: int, received_at: datetime) -> None:
        """Take in the n-th of these facts."""
        row = (
            packed.int8(ws),
            packed.uuid(facts.run),
            packed.int8(facts.fence),
            packed.int8(facts.first_seq + n),
            facts.types[n],
            facts.schema_versions[n],
            facts.occurred[n],
            packed.instant(received_at),
            facts.payloads[n],
        )
        for part, element in zip(self._parts, row, strict=True):
            part.append(element)
        self.count += 1

    def arrays(self) -> list[PackedArray]:
        """Return the arrays in the order of INSERT_LATE."""
        return [
            array(self.count, b"".join(part))
            for (_, array, _), part in zip(LATE_COLUMNS, self._parts, strict=True)
        ]


def group_of_one(
    type_: str, schema_version: int, event_id: bytes, occurred_at: datetime, payload: bytes
) -> Group:
    """Pack a single event."""
    occurred_us = packed.to_us(occurred_at)
    body = chain.body_bytes(type_.encode(), schema_version, event_id, occurred_us)
    return Group(
        types=[packed.text(type_)],
        schema_versions=[packed.int2(schema_version)],
        event_ids=[packed.uuid_bytes(event_id)],
        occurred=[packed.instant_us(occurred_us)],
        payloads=[packed.data(payload)],
        links=[(body, sha256(payload).digest())],
    )
