"""A pool, folded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PoolState:
    pool: UUID
    version: int
    name: str
    permits: tuple[str, ...]
    slots: int
    slots_taken: int  # rows of `slot`, counted by the loader, never stored
    created_at: datetime
