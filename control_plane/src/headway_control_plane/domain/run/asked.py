"""Runs that calls have asked for, as a run made from another finds them: which of them its calls take. See adr/0006."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

BY_DIGEST = "sha256:"  # before the digest of a deployment's name that the pool withholds
_ENDED_BADLY = frozenset({"failed", "crashed", "cancelled", "cancelling"})


@dataclass(frozen=True, slots=True)
class AskedRun:
    """A call of `parent`, and the run that it asked for. `status` is that run's, empty as long as it is not made; `refused`: why it never will be.

    `parameters` is their digest. `is_abandoned`: `parent` was cancelled and takes it along. `agent` executed it last.
    """

    parent: UUID
    call: bytes
    run: UUID
    deployment: str
    parameters: bytes
    requested_at: datetime
    refused: str
    is_abandoned: bool
    status: str
    agent: UUID | None

    @property
    def can_be_taken(self) -> bool:
        """Under way or completed. What ended badly, or never began, is asked for anew."""
        return not (self.refused or self.is_abandoned or self.status in _ENDED_BADLY)

    @property
    def state(self) -> str:
        """In a word."""
        if self.refused:
            return "refused"
        if self.is_abandoned and self.status not in _ENDED_BADLY:
            return "cancelling"
        return self.status or "asked for"

    @property
    def wish(self) -> bytes:
        """By which an agent without the journal knows the call again: see AskedRun in agent_service.proto."""
        if self.deployment.startswith(BY_DIGEST):
            deployment = bytes.fromhex(self.deployment.removeprefix(BY_DIGEST))
        else:
            deployment = hashlib.sha256(self.deployment.encode()).digest()
        return hashlib.sha256(deployment + self.parameters).digest()


def taken(asked: Iterable[AskedRun]) -> set[UUID]:
    """The runs among these of one line that its calls take. One that any of its parents gave up is none."""
    every = list(asked)
    return {each.run for each in every} - {each.run for each in every if not each.can_be_taken}
