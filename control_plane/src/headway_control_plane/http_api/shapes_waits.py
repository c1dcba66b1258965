"""Shapes of what suspended runs wait for, of answers, and of other wishes for a run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from headway_control_plane.application.answer_run import OpenWait
from headway_control_plane.http_api.shapes import Input, Shape, Timestamp


class ReleaseInput(Input):
    anywhere: bool = Field(
        default=False,
        description=(
            "Do not wait for the agent that has the run's journal: any agent may take it, and everything is executed again, calls that "
            "completed too. Runs that it started are found; results in a cache that agents share are used."
        ),
    )


class CancelInput(Input):
    reason: str = Field(
        default="", max_length=1000, description="Kept in the log, shown with the run."
    )


class AnswerInput(Input):
    """An answer to what a suspended run asks."""

    value: Any = Field(
        default=None, description="Must fit the wait's schema.", examples=[{"approve": True}]
    )
    name: str = Field(
        default="", max_length=200, description="Which wait; needed only if there are several."
    )
    call: str = Field(
        default="",
        max_length=64,
        description="Which wait, by its call, where names are not enough.",
    )


class EventInput(Input):
    """An event from outside."""

    name: str = Field(min_length=1, max_length=200, examples=["file arrived"])
    key: str = Field(
        default="",
        max_length=1000,
        description="Tells events of one name apart.",
        examples=["2026-11-22"],
    )
    value: Any = Field(default=None, examples=[{"path": "s3://in/2026-11-22.csv"}])


class EventReached(Shape):
    """Whom the event reached: runs that waited for it when it came. It is not kept for later ones."""

    runs: list[UUID]


class WaitingShape(Shape):
    """What a run waits for: a suspended one, or one whose process asks a person."""

    call: str
    kind: str = Field(description="sleep, input, event or run.")
    name: str
    until: Timestamp | None = Field(description="When it is over by itself.")
    title: str
    answer_schema: dict[str, Any] | None = Field(
        serialization_alias="schema",
        description="JSON Schema of the answer; null when withheld.",
    )
    answered: bool
    run: UUID | None = Field(default=None, description="The run that is waited for.")
    problems: list[str] = Field(
        default_factory=list,
        description="What was wrong with the answer before this question was asked again.",
    )

    @classmethod
    def of(cls, wait: OpenWait) -> WaitingShape:
        return cls(
            call=wait.call.hex(),
            kind=wait.kind,
            name=wait.name,
            until=wait.until,
            title=wait.title,
            answer_schema=dict(wait.schema) if wait.schema is not None else None,
            answered=wait.answered,
            run=wait.run,
            problems=list(wait.problems),
        )
