"""Events of the log as plain values, for API, UI and command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from sqlalchemy import Column, Table, select

from headway_control_plane.application.ports import Recorded
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import agent, deployment, pool, run, session, workspace
from headway_control_plane.domain.streams import Blob, Stream, StreamKind
from headway_control_plane.domain.variables.state import STREAM as VARIABLES_STREAM
from headway_control_plane.projections.reading import fetch

_SUMMARY_VALUES = 5


@dataclass(frozen=True, slots=True)
class EventView:
    """An event, readable. `data` holds its own fields; content that can be erased stands there by its digest."""

    cursor: str
    type: str
    stream: str
    version: int
    schema_version: int
    event_id: UUID
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    causation: UUID | None
    traceparent: str
    data: Mapping[str, Any]
    summary: str
    chain: str


def view_event(recorded: Recorded) -> EventView:
    """Make an event readable. One of a type that this code does not know keeps its envelope."""
    data = _plain(recorded.decode()) or {}
    return EventView(
        cursor=str(recorded.cursor),
        type=recorded.type,
        stream=str(recorded.stream),
        version=recorded.version,
        schema_version=recorded.schema_version,
        event_id=recorded.event_id,
        occurred_at=recorded.occurred_at,
        recorded_at=recorded.recorded_at,
        actor=recorded.actor,
        causation=recorded.causation,
        traceparent=recorded.traceparent,
        data=data,
        summary=summarise(data),
        chain=recorded.chain.hex(),
    )


class BadStream(ValueError):
    """A text that should name a stream names none."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} names no stream. Write kind/id, for example run/0199..., or attempt/<run>/<number>."
        )


def parse_stream(text: str) -> Stream:
    """Read `kind/id` or `attempt/run/fence`; raises BadStream."""
    kind, _, rest = text.partition("/")
    stream_id, _, fence = rest.partition("/")
    try:
        stream = Stream(StreamKind[kind.upper()], UUID(stream_id), int(fence or 0))
    except (KeyError, ValueError):
        raise BadStream(text) from None
    if (stream.kind is StreamKind.ATTEMPT) != bool(fence):
        raise BadStream(text)
    return stream


async def stream_exists(connection: Connection, ws: int, stream: Stream) -> bool:
    """Return whether the workspace has the thing that the stream is of."""
    if stream.kind is StreamKind.VARIABLES:
        return stream == VARIABLES_STREAM
    table, key = _ROWS[stream.kind]
    rows = await fetch(connection, select(key).where(table.c.ws == ws, key == stream.id))
    return bool(rows)


def run_streams(run_id: UUID) -> list[Stream]:
    """Return the streams of a run: its own, and (fence 0) those of all its attempts, future ones too."""
    return [Stream(StreamKind.RUN, run_id), Stream(StreamKind.ATTEMPT, run_id)]


_ROWS: Mapping[StreamKind, tuple[Table, Column[UUID]]] = {
    StreamKind.WORKSPACE: (workspace, workspace.c.id),
    StreamKind.POOL: (pool, pool.c.pool),
    StreamKind.DEPLOYMENT: (deployment, deployment.c.deployment),
    StreamKind.AGENT: (agent, agent.c.agent),
    StreamKind.SESSION: (session, session.c.session),
    StreamKind.RUN: (run, run.c.run),
    StreamKind.ATTEMPT: (run, run.c.run),
}


def _plain(value: Any) -> Any:
    """Turn a domain event or a fact's message into what JSON knows."""
    match value:
        case Message():
            return {field.name: _field(field, held) for field, held in value.ListFields()}
        case Blob():
            return value.digest.hex()
        case bytes():
            return value.hex()
        case UUID():
            return str(value)
        case datetime():
            return value.isoformat()
        case Enum():
            return value.value
        case tuple() | list():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value):
            return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def _field(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated:
        return [_scalar(field, item) for item in value]
    return _scalar(field, value)


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is None:
        return _plain(value)
    # ATTEMPT_OUTCOME_COMPLETED of the enum AttemptOutcome reads `completed`.
    known = field.enum_type.values_by_number.get(value)
    if known is None:
        return value
    prefix = (
        "".join("_" + c if c.isupper() else c for c in field.enum_type.name).upper().lstrip("_")
    )
    return known.name.removeprefix(f"{prefix}_").lower()


_TELLING = (
    "name", "outcome", "count", "flow", "cause", "reason", "detail", "evidence", "fence", "tries", "error_class", "class",
    "exit_code", "signal", "host", "agent_version", "slots", "due_at", "python", "sdk", "pid",
)  # fmt: skip


def summarise(data: Mapping[str, Any]) -> str:
    """Return what an event says to a person, on one line; ids and digests stand in its data."""
    error = data.get("error")
    flat = {**data, **error} if isinstance(error, Mapping) else data
    told = [(name, flat[name]) for name in _TELLING if flat.get(name) not in (None, "", 0)]
    return " ".join(
        f"{value}" if name in {"name", "outcome"} else f"{name}={value}"
        for name, value in told[:_SUMMARY_VALUES]
    )
