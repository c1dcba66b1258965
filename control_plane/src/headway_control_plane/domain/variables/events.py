"""What can happen to a workspace's variables."""

from __future__ import annotations

from dataclasses import dataclass

from headway_control_plane.domain.streams import Blob


@dataclass(frozen=True, slots=True)
class VariableSet:
    """Made, or changed to exactly this. The value is JSON, and can be erased."""

    name: str
    value: Blob
    size_bytes: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VariableUnset:
    name: str


@dataclass(frozen=True, slots=True)
class VariableRefused:
    """A run wrote it, and nothing has changed. The run that wrote goes on: it is told so here."""

    name: str
    reason: str


VariableEvent = VariableSet | VariableUnset | VariableRefused
