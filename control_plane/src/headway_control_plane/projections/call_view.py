"""One sub-flow as people look at it: which attempt's it is, what it returned."""

from __future__ import annotations

from dataclasses import dataclass

from headway_control_plane.application.ports import LogReader
from headway_control_plane.db.pool import Connection
from headway_control_plane.projections import calls
from headway_control_plane.projections.attempts import AttemptView, ResultView, list_attempts
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.tasks import Task


@dataclass(frozen=True, slots=True)
class FoundSubflow:
    """A sub-flow as one attempt has it. `attempt` is None where the attempt's row is gone."""

    task: Task
    fence: int
    attempt: AttemptView | None


async def find_subflow(
    connection: Connection, ws: int, run: RunView, key: str, fence: int | None = None
) -> FoundSubflow | None:
    """Return a sub-flow of a run as the attempt `fence` has it, or the newest attempt that came to it.

    Raises ValueError for what is no key, AmbiguousCall for the beginning of several.
    """
    at = fence or await calls.newest_attempt_of(connection, ws, run.id, run.fence, key)
    if at is None:
        return None
    task = await calls.find_call(connection, ws, run.id, at, key)
    if task is None or task.kind != "flow":
        return None
    attempts = await list_attempts(connection, ws, run.id, after=at - 1, limit=1)
    attempt = next((each for each in attempts if each.fence == at), None)
    return FoundSubflow(task, at, attempt)


async def read_call_result(reader: LogReader, ws: int, task: Task) -> ResultView | None:
    """Return what a call returned, with the beginning of it where the pool lets that out."""
    held = task.result
    if held is None:
        return None
    named = bytes.fromhex(held.get("preview_digest") or "")
    preview = (await reader.blobs(ws, [named])).get(named) if named else None
    return ResultView(
        codec=held["codec"],
        size_bytes=held["size_bytes"],
        digest=held["digest"],
        reference=held["reference"],
        preview=preview.decode(errors="replace") if preview is not None else None,
    )
