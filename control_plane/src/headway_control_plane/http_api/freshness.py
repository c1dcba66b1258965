"""Read your own writes: wait until what is read holds the log up to a cursor."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from headway_control_plane.application.ports import Cursor, EpochChanged
from headway_control_plane.http_api.problems import ProjectionBehind
from headway_control_plane.http_api.services import Services
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.head import head

_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a read asked for: nothing, or a cursor."""

    cursor: Cursor | None

    @classmethod
    def parse(cls, *texts: str | None) -> Wanted:
        """Read the first text that is there; raises BadCursor."""
        given = next((text for text in texts if text), None)
        return cls(Cursor.parse(given) if given else None)


async def wait_for_log(services: Services, ws: int, wanted: Wanted) -> None:
    """Rows that the log's own transactions write are never behind it: only a foreign cursor is refused."""
    if wanted.cursor is not None:
        async with services.reads.workspace(ws) as connection:
            _require_reachable(ws, wanted.cursor, await head(connection, ws))


async def wait_for_projection(services: Services, ws: int, projection: str, wanted: Wanted) -> None:
    """Wait until the projection has folded the log up to the cursor."""
    if wanted.cursor is None:
        return
    deadline = services.clock.monotonic() + services.options.freshness_timeout.total_seconds()
    while True:
        async with services.reads.workspace(ws) as connection:
            fresh = await checkpoints.freshness(connection, ws, projection)
        _require_reachable(ws, wanted.cursor, fresh.head)
        if fresh.checkpoint.offset >= wanted.cursor.offset:
            return
        if services.clock.monotonic() >= deadline:
            raise ProjectionBehind(
                f"The projection {projection} has come to {fresh.checkpoint}, you asked for {wanted.cursor}."
            )
        # The projector may run in another process; its checkpoint is the only signal that all of them share.
        await asyncio.sleep(_PAUSE)


def _require_reachable(ws: int, asked: Cursor, log_head: Cursor) -> None:
    if asked.offset and (asked.epoch != log_head.epoch or asked.offset > log_head.offset):
        raise EpochChanged(ws, asked, log_head)
