"""Shapes of sub-flows: calls of a flow within a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from headway_control_plane.http_api.shapes import Reference, Shape, Timestamp
from headway_control_plane.http_api.shapes_runs import (
    ErrorShape,
    ResultShape,
    TaskSums,
    microseconds,
)
from headway_control_plane.http_api.shapes_tasks import STATUS, RetryShape, TaskShape
from headway_control_plane.projections.attempts import ErrorView, ResultView
from headway_control_plane.projections.subflows import SubflowView
from headway_control_plane.projections.tasks import Task, TaskCounts


class SubflowItem(Shape):
    """A sub-flow in a list of runs, as its run's newest attempt has it."""

    kind: Literal["flow"] = "flow"
    run: Reference = Field(description="The run that it is part of.")
    call: str = Field(description="Its key, the same in every attempt of the run.")
    parent: str = Field(description="Key of the call around it; empty directly in the run's flow.")
    flow: str
    deployment: Reference = Field(description="Of its run.")
    status: str = Field(description=STATUS)
    attempt: int
    started_at: Timestamp
    ended_at: Timestamp | None
    duration_us: int | None
    error: ErrorShape | None

    @classmethod
    def of(cls, view: SubflowView, now: datetime) -> SubflowItem:
        return cls(
            run=Reference.of(view.run),
            call=view.call.hex(),
            parent=view.parent.hex(),
            flow=view.name,
            deployment=Reference.of(view.deployment),
            status=view.status,
            attempt=view.fence,
            started_at=view.started_at,
            ended_at=view.ended_at,
            duration_us=microseconds(view.duration(now)),
            error=ErrorShape(error_class=view.error_class) if view.error_class else None,
        )


class SubflowsShape(Shape):
    """The sub-flows of an attempt, in the order in which the log heard of them."""

    attempt: int
    counts: TaskSums
    capped: bool = Field(description="Whether there are more than were counted.")
    items: list[TaskShape]
    next: int | None = Field(default=None, description="Goes into `after` for the rest.")


class SubflowShape(Shape):
    """One sub-flow as an attempt of its run has it."""

    run: UUID
    attempt: int
    call: str
    parent: str = Field(description="Key of the call around it; empty directly in the run's flow.")
    flow: str
    status: str = Field(description=STATUS)
    started_at: Timestamp
    ended_at: Timestamp | None
    duration_us: int | None
    tries: int
    retries: list[RetryShape]
    error: ErrorShape | None
    result: ResultShape | None
    tasks: TaskSums = Field(description="The calls within it, however deep.")
    capped: bool = Field(description="Whether there are more calls within than were counted.")

    @classmethod
    def of(
        cls,
        run: UUID,
        attempt: int,
        task: Task,
        *,
        within: TaskCounts,
        capped: bool,
        error: ErrorView | None,
        result: ResultView | None,
        now: datetime,
    ) -> SubflowShape:
        base: dict[str, Any] = TaskShape.of(task).model_dump(
            include={"call", "parent", "started_at", "ended_at", "tries"}
        )
        end = task.ended_at or (now if task.status != "paused" else None)
        return cls(
            **base,
            run=run,
            attempt=attempt,
            flow=task.name,
            status=task.status,
            duration_us=microseconds(end - task.started_at) if end else None,
            retries=TaskShape.of(task).retries,
            error=ErrorShape.of(error) if error else None,
            result=ResultShape.of(result) if result else None,
            tasks=TaskSums.of(within),
            capped=capped,
        )
