"""Shapes of artifacts and metrics."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from headway_control_plane.http_api.shapes import PageShape, Shape, Timestamp
from headway_control_plane.projections.artifacts import ArtifactView
from headway_control_plane.projections.metrics import Point, Series


class ArtifactShape(Shape):
    """Something that a run left for people to look at, without its content."""

    id: str
    run: UUID
    attempt: int
    call: str = Field(description="Of the task that saved it; empty: the flow itself.")
    kind: str = Field(examples=["markdown", "table", "link", "image", "progress"])
    key: str = Field(description="Empty: it belongs to its run alone.", examples=["sales-report"])
    version: int = Field(description="Of its key, from 1; 0 without a key.")
    latest: bool
    description: str
    media_type: str
    size_bytes: int
    percent: float | None = Field(description="Of progress: 0 to 100.")
    withheld: bool = Field(
        description="The pool does not permit `artifact`: what it holds stayed in your network."
    )
    saved_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, view: ArtifactView) -> ArtifactShape:
        return cls(**cls.fields_of(view))

    @staticmethod
    def fields_of(view: ArtifactView) -> dict[str, Any]:
        return {
            "id": view.id.hex(),
            "run": view.run,
            "attempt": view.fence,
            "call": view.call.hex(),
            "kind": view.kind,
            "key": view.key,
            "version": view.number,
            "latest": view.latest,
            "description": view.text,
            "media_type": view.media_type,
            "size_bytes": view.size_bytes,
            "percent": view.percent,
            "withheld": view.withheld,
            "saved_at": view.saved_at,
            "updated_at": view.updated_at,
        }


class ArtifactContentShape(ArtifactShape):
    """With its content."""

    content: Any = Field(
        description="Of markdown its text; of a table `columns` and `rows`; of a link `url` and `text`; of an image by its address `url`. "
        "Null for an image of bytes (see `/content`), for progress, and where it is withheld or erased."
    )
    erased: bool = Field(description="It was here, and its content was erased.")


class ArtifactPage(PageShape[ArtifactShape]):
    """A page of artifacts."""


class SeriesShape(Shape):
    """A metric of a run."""

    id: str
    name: str
    unit: str
    recorded: int = Field(description="Points that user code recorded.")
    kept: int = Field(
        description="Points of them that were kept: of very many in a short time the smallest and largest."
    )
    lowest: float | None
    highest: float | None
    newest: float | None
    stepped: bool = Field(description="Whether points have steps.")
    withheld: bool = Field(
        description="The pool does not permit `metric`: its points stayed in your network."
    )

    @classmethod
    def of(cls, series: Series) -> SeriesShape:
        return cls(
            id=series.id.hex(),
            name=series.name,
            unit=series.unit,
            recorded=series.recorded,
            kept=series.kept,
            lowest=series.lowest,
            highest=series.highest,
            newest=series.newest,
            stepped=series.stepped,
            withheld=series.withheld,
        )


class MetricsShape(Shape):
    items: list[SeriesShape]


class PointsShape(SeriesShape):
    """A metric with its points in order, thinned out to at most as many as were asked for."""

    points: list[tuple[float, int, int]] = Field(
        description="Each: value, microseconds since 1970, step (0 without steps)."
    )

    @classmethod
    def with_points(cls, series: Series, points: list[Point]) -> PointsShape:
        told = SeriesShape.of(series).model_dump()
        return cls(**told, points=[(p.value, p.at_us, p.step) for p in points])
