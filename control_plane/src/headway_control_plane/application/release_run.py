"""Release a paused run: it is scheduled again."""

from dataclasses import dataclass
from uuid import UUID

from headway_control_plane.application.ports import Cursor, Log
from headway_control_plane.domain.commands import ReleaseRun


@dataclass(frozen=True, slots=True)
class RunReleased:
    cursor: Cursor


async def release_run(
    log: Log, ws: int, run: UUID, *, actor: str, anywhere: bool = False
) -> RunReleased:
    """Let the run go on; `anywhere` without the agent that has its journal, if need be from its beginning."""
    done = await log.execute(ws, ReleaseRun(run, anywhere), actor=actor)
    return RunReleased(done.cursor)
