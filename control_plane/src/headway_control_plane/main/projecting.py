"""What `headway projections rebuild|verify` do, apart from the terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from headway_control_plane.db.errors import DatabaseProblem
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.log.reader import Reader
from headway_control_plane.main.stores import open_database
from headway_control_plane.projections.rebuild import RebuildFailed, rebuild
from headway_control_plane.projections.shadow import all_workspaces
from headway_control_plane.projections.task_timeline import TaskTimeline
from headway_control_plane.projections.verify import Proof, verify
from headway_control_plane.settings import Settings

MODELS = {model.name: model for model in (TaskTimeline(),)}
_ROLES = (Role.PROJECTOR, Role.DISPATCHER)


async def rebuild_one(
    projection: str, settings: Settings, *, progress: Callable[[str], None]
) -> list[str]:
    """Rebuild a projection and return what to tell; raises DatabaseProblem when the new version could not take over."""
    async with _opened(settings) as (database, reader):
        try:
            done = await rebuild(database, reader, MODELS[projection], progress=progress)
        except RebuildFailed as failed:
            raise DatabaseProblem(str(failed), next_step="headway projections verify") from failed
    differing = sum(bool(each.differences) for each in done.compared.values())
    lines = [
        f"{projection}: version {done.after} took the place of {done.before}; {done.events:,} events folded, "
        f"{done.dropped_rows:,} old rows dropped, {differing} of {len(done.compared)} workspaces differed."
    ]
    for ws, comparison in done.compared.items():
        lines += [f"  workspace {ws}: {difference}" for difference in comparison.differences]
    return lines


async def verify_all(projection: str, ws: int | None, settings: Settings) -> list[Proof]:
    """Prove a projection in one workspace, or in all."""
    async with _opened(settings) as (database, reader):
        chosen = await all_workspaces(database) if ws is None else [ws]
        return [await verify(database, reader, MODELS[projection], each) for each in chosen]


def told(proof: Proof) -> Iterator[str]:
    """A proof in words."""
    word = "holds" if proof.holds else "DIFFERS"
    unknown = f", {proof.unknown_events:,} events of unknown types" if proof.unknown_events else ""
    yield (
        f"workspace {proof.ws}: {word}, {proof.comparison.rows:,} rows proved from offset {proof.proved_from} "
        f"to {proof.checkpoint}{unknown}"
    )
    if proof.failure:
        yield f"  it stands still there: {proof.failure}"
    for difference in proof.comparison.differences:
        yield f"  {difference}"


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Database, Reader]]:
    async with open_database(settings, _ROLES) as database:
        yield database, Reader(database, role=Role.PROJECTOR)
