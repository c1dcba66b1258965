"""What can happen to a pool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolCreated:
    """`permits` are the names of data classes (of `headway_api.common.v1`, lower case) that its agents may send, sorted."""

    name: str
    permits: tuple[str, ...]
    slots: int  # open attempts at once over all its agents; 0 = as many as the agents have


@dataclass(frozen=True, slots=True)
class PoolChanged:
    permits: tuple[str, ...]
    slots: int


PoolEvent = PoolCreated | PoolChanged
