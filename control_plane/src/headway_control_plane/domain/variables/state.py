"""The variables of a workspace, folded. They are one stream and one state: a run is given all of them, as they are at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headway_control_plane.domain.streams import Blob, Stream, StreamKind
from headway_control_plane.domain.variables.events import (
    VariableEvent,
    VariableSet,
    VariableUnset,
)

STREAM = Stream(StreamKind.VARIABLES, UUID(int=1))
"""Of every workspace the same, for a stream is one workspace's."""


@dataclass(frozen=True, slots=True)
class Variable:
    """`version` is that of the stream when it was set last: it grows with every change."""

    value: Blob
    size_bytes: int
    tags: tuple[str, ...]
    version: int
    set_at: datetime


@dataclass(frozen=True, slots=True)
class VariablesState:
    version: int
    entries: Mapping[str, Variable]

    @property
    def size_bytes(self) -> int:
        return sum(len(name) + entry.size_bytes for name, entry in self.entries.items())


def evolve(state: VariablesState | None, event: VariableEvent, at: datetime) -> VariablesState:
    """The state after an event."""
    version = 1 if state is None else state.version + 1
    entries = dict(state.entries) if state is not None else {}
    if isinstance(event, VariableSet):
        entries[event.name] = Variable(event.value, event.size_bytes, event.tags, version, at)
    elif isinstance(event, VariableUnset):
        entries.pop(event.name, None)
    return VariablesState(version, entries)
