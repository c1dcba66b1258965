"""The button that lets a run go on without its journal asks first, and says what that costs."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.projections.reasons import Reason
from headway_control_plane.projections.run_view import Named, RunView
from headway_control_plane.projections.tasks import TaskCounts
from headway_control_plane.ui.views.run_page import actions

SOME = UUID(int=1)
AT = datetime(2026, 11, 23, tzinfo=UTC)
AWAY = RunView(
    id=SOME, version=3, name="r", flow="f", deployment=Named(SOME, "d"), pool=Named(SOME, "p"), agent=None, state=RunStatus.SCHEDULED,
    reason=Reason("agent away", "far-1", "waits for its agent"), fence=1, attempts_failed=0, retries=0, on_lost="retry", tags=(), priority=3, environment="e",
    entrypoint="m:f", code_hash="", created_at=AT, due_at=AT, started_at=AT, ended_at=None, duration=None, parameters=b"", error_class="",
    error_text=b"", result_digest=b"", facts=5, tasks=TaskCounts(1, completed=2, skipped=1), home=Named(SOME, "far-1"),
)  # fmt: skip


def anywhere(run: RunView) -> list[str]:
    found = actions(run, parameters_known=True)
    return [action.question for action in found if action.label == "Run anywhere"]


def test_it_asks_and_says_what_is_executed_again():
    [question] = anywhere(AWAY)
    assert question.startswith("Agent far-1 has the journal.")
    assert "the 3 calls that ended well too" in question
    [before_any] = anywhere(replace(AWAY, tasks=None))
    assert "executes everything again: artifacts" in before_any


def test_a_run_whose_agent_is_there_has_no_such_button():
    assert anywhere(replace(AWAY, reason=Reason("", "", ""))) == []
