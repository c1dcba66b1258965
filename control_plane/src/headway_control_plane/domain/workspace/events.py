"""What can happen to a workspace."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkspaceCreated:
    name: str


WorkspaceEvent = WorkspaceCreated
