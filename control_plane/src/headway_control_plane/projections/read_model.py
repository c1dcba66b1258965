"""What the engine asks of an asynchronous read model, and how far one has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headway_control_plane.application.ports import Cursor, Recorded
from headway_control_plane.db.pool import Connection


class BrokenEvent(Exception):
    """A read model cannot fold this event. It stands still before it until the code, or the log, is put right."""

    def __init__(self, event: Recorded, cause: Exception) -> None:
        super().__init__(
            f"{event.type} at offset {event.cursor.offset} ({event.stream}) cannot be folded: "
            f"{type(cause).__name__}: {cause}"
        )
        self.offset = event.cursor.offset


class ReadModel(Protocol):
    """Rows folded from the log. Each live version has its rows beside the others', told apart by a column."""

    @property
    def name(self) -> str:
        """The name that checkpoints and `projection_active` carry."""
        ...

    @property
    def tables(self) -> Sequence[str]:
        """Its tables, each with the columns `ws` and `version`."""
        ...

    async def apply(
        self, connection: Connection, ws: int, version: int, events: Sequence[Recorded]
    ) -> None:
        """Fold consecutive events into the rows of one version. Raises BrokenEvent before it wrote anything."""
        ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a version of a read model has read one workspace's log. `failure` says why it stands still."""

    version: int
    cursor: Cursor
    failure: str = ""
    unknown_events: int = 0


@dataclass(frozen=True, slots=True)
class Freshness:
    """A projection beside the log: `behind` events are not yet shown."""

    head: Cursor
    checkpoint: Cursor
    failure: str
    unknown_events: int

    @property
    def behind(self) -> int:
        return max(0, self.head.offset - self.checkpoint.offset)
