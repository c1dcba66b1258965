"""Shapes of variables."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from headway_control_plane.http_api.shapes import Count, Input, PageShape, Shape, Timestamp
from headway_control_plane.projections.variables import Change, VariableView


class VariableInput(Input):
    """What a variable shall be, whole. Sending the same again changes nothing."""

    name: str = Field(examples=["batch-size"])
    value: Any = Field(description="Any JSON, up to 64 KiB. No secrets: it stands here in clear.")
    tags: list[str] = Field(default_factory=list, max_length=1000)
    if_version: Count | None = Field(
        default=None,
        description="Only if the variable has this version now; 0: only if it is not there. Else 409.",
    )


class VariableShape(Shape):
    name: str
    value: Any
    erased: bool = Field(description="The value was erased; runs do not get the variable.")
    tags: list[str]
    version: int = Field(description="Grows whenever the variable is set to something else.")
    size_bytes: int
    set_at: Timestamp

    @classmethod
    def of(cls, view: VariableView) -> VariableShape:
        return cls(
            name=view.name,
            value=view.value,
            erased=view.erased,
            tags=list(view.tags),
            version=view.version,
            size_bytes=view.size_bytes,
            set_at=view.set_at,
        )


VariablePage = PageShape[VariableShape]


class VariableChange(Shape):
    """One entry of a variable's history."""

    name: str
    version: int = Field(
        description="That the variable has since; of a refused write, that of the history."
    )
    at: Timestamp
    actor: str = Field(description="Who did it; `run/<id>`: a flow, in that run.")
    kind: Literal["set", "unset", "refused"] = Field(
        description="refused: a run wrote it and nothing changed; `reason` says why."
    )
    value: Any = Field(
        description="What it was set to; null where it was unset, refused or erased."
    )
    erased: bool = Field(description="It was set, and the value was erased since.")
    tags: list[str]
    reason: str

    @classmethod
    def of(cls, change: Change) -> VariableChange:
        return cls(
            name=change.name,
            version=change.version,
            at=change.at,
            actor=change.actor,
            kind=change.kind,
            value=None if change.value is None else json.loads(change.value),
            erased=change.kind == "set" and change.value is None,
            tags=list(change.tags),
            reason=change.reason,
        )


class VariableHistory(Shape):
    items: list[VariableChange] = Field(description="The newest first.")
