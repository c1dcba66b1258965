"""The same wish for many runs."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header
from pydantic import Field

from headway_control_plane.application.bulk import (
    MOST_RUNS,
    BulkAction,
    Doing,
    Outcome,
    act_on_runs,
)
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import errors
from headway_control_plane.http_api.shapes import Input, Shape
from headway_control_plane.projections.forks import ForkSources

router = APIRouter(prefix="/runs", tags=["runs"])


class BulkInput(Input):
    """A wish for several runs."""

    action: BulkAction
    runs: list[UUID] = Field(min_length=1, max_length=MOST_RUNS)
    reason: str = Field(default="", max_length=1000, description="Of a cancellation; kept.")


class OutcomeShape(Shape):
    run: UUID
    made: UUID | None = Field(description="The run that goes on with it, of a resumption.")
    code: str = Field(description="Empty where it was accepted; else why not.")
    message: str

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeShape:
        return cls(run=outcome.run, made=outcome.made, code=outcome.code, message=outcome.message)


class BulkShape(Shape):
    action: BulkAction
    accepted: int
    refused: int
    outcomes: list[OutcomeShape]


@router.post(
    "/bulk",
    summary="Cancel or resume many runs",
    response_model=BulkShape,
    responses=errors(400, 422),
)
async def bulk(
    body: BulkInput,
    caller: CallerDependency,
    services: ServicesDependency,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Your name for this wish: with the same key within 24 h each run is resumed once.",
            max_length=120,
        ),
    ] = None,
) -> BulkShape:
    """Do one thing to up to 100 runs. Each is decided by itself: look at `code` for those that were refused."""
    doing = Doing(
        services.log,
        services.catalogue,
        ForkSources(services.reads, services.reader),
        services.ids,
        caller.ws,
        caller.actor,
        reason=body.reason,
        key=idempotency_key,
    )
    outcomes = await act_on_runs(doing, body.action, body.runs)
    accepted = sum(not outcome.code for outcome in outcomes)
    return BulkShape(
        action=body.action,
        accepted=accepted,
        refused=len(outcomes) - accepted,
        outcomes=[OutcomeShape.of(outcome) for outcome in outcomes],
    )
