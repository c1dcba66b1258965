"""The row `timer`: the one deadline of a stream."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headway_control_plane.domain.run.state import Deadline, DeadlineKind
from headway_control_plane.domain.streams import Stream
from headway_control_plane.log.row_table import RowTable

TIMERS = RowTable(
    "timer",
    ("ws", "stream_kind", "stream_id"),
    {
        "ws": "int8",
        "stream_kind": "int2",
        "stream_id": "uuid",
        "shard": "int2",
        "kind": "text",
        "due_at": "instant",
    },
    fixed=("shard",),
)


def timer_key(ws: int, stream: Stream) -> tuple[Any, ...]:
    return ws, int(stream.kind), stream.id


def timer_row(ws: int, stream: Stream, shard: int, deadline: Deadline) -> tuple[Any, ...]:
    return ws, int(stream.kind), stream.id, shard, deadline.kind.value, deadline.at


def read_deadline(kind: str | None, due_at: datetime | None) -> Deadline | None:
    """Return the deadline of a joined row, None where there is none."""
    return None if kind is None or due_at is None else Deadline(DeadlineKind(kind), due_at)
