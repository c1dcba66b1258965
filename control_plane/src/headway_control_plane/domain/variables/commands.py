"""What can be asked of a workspace's variables."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from headway_control_plane.domain.streams import Blob, Stream
from headway_control_plane.domain.variables.state import STREAM


@dataclass(frozen=True, slots=True)
class SetVariable:
    """`if_version`: only if the variable has this version now, 0 if it is not there; None: whatever it is."""

    name: str
    value: Blob
    size_bytes: int
    tags: tuple[str, ...] = ()
    if_version: int | None = None

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (STREAM,)


@dataclass(frozen=True, slots=True)
class UnsetVariable:
    name: str
    if_version: int | None = None

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (STREAM,)


@dataclass(frozen=True, slots=True)
class WriteVariable:
    """From the fact VariableWritten: a run sets a variable, or (`value` None) unsets it. `tags` None keeps those that it has.

    `problem`: why it cannot be, whatever there is.
    """

    run: UUID
    name: str
    value: Blob | None
    size_bytes: int = 0
    tags: tuple[str, ...] | None = None
    expected_version: int | None = None
    problem: str = ""

    @property
    def needs(self) -> tuple[Stream, ...]:
        return (STREAM,)

    @property
    def actor(self) -> str:
        return f"run/{self.run}"
