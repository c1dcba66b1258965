"""The rows `child_run`: which runs runs asked for. Written with the fact that asks; what becomes of them is settled by a service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headway_control_plane.log.row_table import RowTable

_COLUMNS = {
    "ws": "int8",
    "parent": "uuid",
    "call": "bytes",
    "shard": "int2",
    "run": "uuid",
    "deployment": "text",
    "parameters": "bytes",
    "has_parameters": "bool",
    "labels": "bytes",
    "due_at": "instant",
    "waited": "bool",
    "outlives": "bool",
    "requested_at": "instant",
}
# A call that asks again, for want of a journal, asks for the same run; and one that was refused has to be told so again.
CHILDREN = RowTable(
    "child_run",
    ("ws", "parent", "call"),
    _COLUMNS,
    fixed=tuple(_COLUMNS)[3:],
    again="UPDATE SET settled = false WHERE child_run.settled AND child_run.refused <> ''",
)


@dataclass(frozen=True, slots=True)
class ChildRequest:
    """A wanted run, as its fact says. `parameters` and `labels` are digests, empty when withheld."""

    parent: UUID
    call: bytes
    run: UUID
    deployment: str
    parameters: bytes
    has_parameters: bool
    labels: bytes
    due_at: datetime | None
    waited: bool
    outlives: bool

    def row(self, ws: int, shard: int, now: datetime) -> tuple[Any, ...]:
        return (
            ws,
            self.parent,
            self.call,
            shard,
            self.run,
            self.deployment,
            self.parameters,
            self.has_parameters,
            self.labels,
            self.due_at,
            self.waited,
            self.outlives,
            now,
        )
