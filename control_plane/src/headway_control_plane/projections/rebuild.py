"""Rebuild a read model: a new version from the log beside the live one, compared, switched to, the old one dropped.

Readers see the live version until the switch. A rebuild that is killed leaves a version that nobody reads; the next one
takes a fresh number and drops it with the old rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headway_control_plane.application.ports import LogReader
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.projections import checkpoints, shadow
from headway_control_plane.projections.advance import BATCH
from headway_control_plane.projections.compare import Comparison, compare
from headway_control_plane.projections.read_model import ReadModel


class RebuildFailed(Exception):
    """The new version cannot be folded either; the live one stays."""

    def __init__(self, ws: int, failure: str) -> None:
        super().__init__(
            f"Workspace {ws}: {failure}. The live version was left as it is. "
            "Put the fold right (or upgrade headway-control-plane), then rebuild again."
        )


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did. `compared` holds, by workspace, what differed between the old rows and the new."""

    projection: str
    before: int
    after: int
    events: int
    dropped_rows: int
    compared: dict[int, Comparison]


async def rebuild(
    database: Database,
    reader: LogReader,
    model: ReadModel,
    *,
    progress: Callable[[str], None],
    batch: int = BATCH,
) -> Rebuilt:
    """Rebuild a read model in all workspaces and switch to it. Writers and readers go on meanwhile."""
    workspaces = await shadow.all_workspaces(database)
    old = await shadow.active_version(database, model)
    new = await shadow.next_version(database, model, workspaces)
    compared: dict[int, Comparison] = {}
    for ws in workspaces:
        step = await shadow.catch_up(database, reader, model, ws, new, batch=batch)
        if step.checkpoint.failure:
            await shadow.drop(database, model, ws, new)
            raise RebuildFailed(ws, step.checkpoint.failure)
        compared[ws] = await _compare(database, model, ws, old, new)
        progress(f"workspace {ws}: {compared[ws].rows} rows up to {step.checkpoint.cursor}")
    # Once more, so that the switch does not take readers back by what was appended meanwhile.
    ends = [await shadow.catch_up(database, reader, model, ws, new) for ws in workspaces]
    async with database.transaction(Role.PROJECTOR) as connection:
        await connection.execute(
            checkpoints.SQL["switch"], {"projection": model.name, "version": new}
        )
    progress(f"version {new} is read from now on")
    dropped = 0
    for ws in workspaces:
        for version in range(1, new):
            dropped += await shadow.drop(database, model, ws, version)
    return Rebuilt(
        model.name, old, new, sum(end.checkpoint.cursor.offset for end in ends), dropped, compared
    )


async def _compare(database: Database, model: ReadModel, ws: int, old: int, new: int) -> Comparison:
    async with database.transaction(Role.PROJECTOR, workspaces=[ws]) as connection:
        # Both stand still while they are compared; the live one catches up afterwards.
        live = await checkpoints.lock(connection, ws, model.name, old)
        fresh = await checkpoints.lock(connection, ws, model.name, new)
        comparison = await compare(connection, ws, old, new, proved_from=1)
        if live.cursor == fresh.cursor:
            return comparison
        # At different places the rows must differ: say nothing rather than something wrong.
        return Comparison(comparison.rows, comparison.fingerprint, ())
