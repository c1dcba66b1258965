"""Up to when a call is drawn that has not ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headway_control_plane.projections.attempts import AttemptView
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.task_fold import PAUSED
from headway_control_plane.projections.tasks import Task


@dataclass(frozen=True, slots=True)
class Until:
    """`now`, or when an earlier attempt ended; `attempt_ended` is None as long as the attempt is under way."""

    now: datetime
    attempt_ended: datetime | None = None

    def end_of(self, task: Task) -> datetime:
        """Return when a call ended, or was last executing."""
        return task.ended_at or max(self.attempt_ended or self.now, task.started_at)

    def wait_of(self, task: Task) -> datetime | None:
        """Return up to when a call has waited with its run since; None where it did not."""
        return self.now if task.status == PAUSED else None


def drawn_until(run: RunView, fence: int, attempt: AttemptView | None, now: datetime) -> Until:
    """Return it for one attempt. What an earlier one left goes on in a later one, and is drawn there."""
    ended = attempt.ended_at if attempt is not None else None
    newest = run.ended_at or now
    return Until(newest if fence == run.fence else ended or newest, ended)
