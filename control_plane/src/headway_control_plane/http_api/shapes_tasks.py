"""Shapes of the calls of an attempt, and of ranges of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field

from headway_control_plane.http_api.shapes import Shape, Timestamp
from headway_control_plane.http_api.shapes_runs import TaskSums
from headway_control_plane.projections.packed_calls import Member
from headway_control_plane.projections.tasks import Task

STATUS = (
    "running, retrying, paused (its attempt was suspended: it waits with its run), completed, failed, cancelled, "
    "skipped (its result was there already) or interrupted (its attempt was lost or killed)."
)


class RetryShape(Shape):
    number: int = Field(serialization_alias="try")
    at: Timestamp
    delay_us: int
    error_class: str


class TaskShape(Shape):
    """A call of a task or sub-flow, or a range: many quick calls of one name that all completed at their first try.

    Of a range `call` is the first one, `result` has the sum of the sizes, and `/tasks/{call}/calls` lists its calls.
    """

    call: str
    parent: str
    kind: str
    name: str
    run_name: str = Field(description="What this one call was named, where it was.")
    calls: int = Field(description="1; of a range, how many.")
    median_us: int | None = Field(description="Of a range: what its calls took.")
    longest_us: int | None
    status: str = Field(description=STATUS)
    started_at: Timestamp
    ended_at: Timestamp | None
    tries: int
    retries: list[RetryShape]
    error_class: str
    result: dict[str, Any] | None
    refused: str = Field(
        default="", description="Why the run that it asked for, and does not wait for, is not made."
    )

    @classmethod
    def of(cls, task: Task, refused: str = "") -> TaskShape:
        return cls(
            call=task.call.hex(),
            parent=task.parent.hex(),
            kind=task.kind,
            name=task.name,
            run_name=task.run_name,
            calls=task.calls,
            median_us=_microseconds(task.median),
            longest_us=_microseconds(task.longest),
            status=task.status,
            started_at=task.started_at,
            ended_at=task.ended_at,
            tries=task.tries,
            retries=[
                RetryShape(
                    number=retry.number,
                    at=retry.at,
                    delay_us=retry.delay_us,
                    error_class=retry.error_class,
                )
                for retry in task.retries
            ],
            error_class=task.error_class,
            result=task.result,
            refused=refused,
        )


def _microseconds(took: timedelta | None) -> int | None:
    return None if took is None else took // timedelta(microseconds=1)


class MemberShape(Shape):
    """One call of a range."""

    call: str
    started_at: Timestamp
    ended_at: Timestamp

    @classmethod
    def of(cls, member: Member) -> MemberShape:
        return cls(call=member.call.hex(), started_at=member.started_at, ended_at=member.ended_at)


class MembersShape(Shape):
    attempt: int
    total: int
    items: list[MemberShape]
    next: int | None = Field(default=None, description="Goes into `after` for the rest.")


class TasksShape(Shape):
    attempt: int
    counts: TaskSums
    items: list[TaskShape]
    next: int | None = Field(default=None, description="Goes into `after` for the rest.")
