"""Shapes that all operations share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
)

from headway_control_plane.projections.run_view import Named

Item = TypeVar("Item")


def write_time(at: datetime) -> str:
    """Write an instant as all answers do."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


Timestamp = Annotated[
    datetime,
    PlainSerializer(write_time, return_type=str),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-22T08:00:00.000000Z"]},
        mode="serialization",
    ),
]
Cursor = Annotated[
    str, Field(description="A place in the workspace's log, `epoch:offset`.", examples=["1:48112"])
]


class Shape(BaseModel):
    """What an answer holds."""

    model_config = ConfigDict(frozen=False)


class Input(BaseModel):
    """What a request holds: unknown fields are mistakes, said at once, and so is text that the database can't even compare with.

    What stands in objects (parameters, schemas) is for their own check, which knows its path.
    """

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        texts = value if isinstance(value, list | tuple) else (value,)
        if any(isinstance(text, str) and "\x00" in text for text in texts):
            raise ValueError("holds a NUL character; remove it")
        return value


class FieldProblem(Shape):
    path: str = Field(description="Where, for example `parameters.region`; `$` is the whole.")
    message: str


class ProblemShape(Shape):
    """An error (RFC 9457). `code` is for programs, `hint` is the next step."""

    type: str = Field(examples=["urn:headway:problem:invalid_parameters"])
    title: str = Field(examples=["Invalid parameters"])
    status: int = Field(examples=[422])
    code: str = Field(examples=["invalid_parameters"])
    detail: str = Field(examples=["The parameters do not fit the deployment 'nightly'."])
    hint: str = Field(
        default="", examples=["See what it takes with: headway deployments show nightly"]
    )
    errors: list[FieldProblem] = Field(
        default_factory=list, examples=[[{"path": "parameters.region", "message": "is required"}]]
    )
    request_id: str = ""


class Reference(Shape):
    """A thing that another one refers to."""

    id: UUID
    name: str

    @classmethod
    def of(cls, named: Named) -> Reference:
        return cls(id=named.id, name=named.name)


class PageShape(Shape, Generic[Item]):
    """A page of a list. `next` and `previous` go into `cursor`; they are null where there is nothing."""

    items: list[Item]
    next: str | None = None
    previous: str | None = None


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueError into a problem
    return value


Count = Annotated[int, BeforeValidator(_refuse_bool)]
