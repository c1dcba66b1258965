"""Cancel a run: a wish that holds whatever happens meanwhile. A run that has ended is left as it is."""

from dataclasses import dataclass
from uuid import UUID

from headway_control_plane.application.ports import Cursor, Log
from headway_control_plane.application.words import require_none, text_problems
from headway_control_plane.domain.commands import CancelRun


@dataclass(frozen=True, slots=True)
class CancelAccepted:
    """`changed`: this request is what began it; False when the run was already being cancelled."""

    cursor: Cursor
    changed: bool


async def cancel_run(
    log: Log, ws: int, run: UUID, *, actor: str, reason: str = ""
) -> CancelAccepted:
    """Ask for the run's end."""
    require_none(text_problems("reason", reason))
    done = await log.execute(ws, CancelRun(run, reason), actor=actor)
    return CancelAccepted(done.cursor, bool(done.decided))
