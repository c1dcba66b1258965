"""Events from outside, for runs that wait for them."""

from __future__ import annotations

from fastapi import APIRouter

from headway_control_plane.application.emit_event import Event, emit_event
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.common import errors
from headway_control_plane.http_api.shapes_waits import EventInput, EventReached
from headway_control_plane.projections.waits import RunWaits

router = APIRouter(tags=["events"])


@router.post(
    "/events",
    summary="Send an event to the runs that wait for it",
    response_model=EventReached,
    responses=errors(400, 413, 422, 503),
)
async def emit(
    body: EventInput, caller: CallerDependency, services: ServicesDependency
) -> EventReached:
    """Every run of the workspace that waits for an event of this name and key goes on with its value.

    An event that nobody waits for is not kept: `runs` is empty then, and it can be sent again. Sent again it reaches only those
    who did not get it.
    """
    reached = await emit_event(
        services.log,
        RunWaits(services.reads, services.reader),
        caller.ws,
        actor=caller.actor,
        event=Event(body.name, body.key, body.value),
    )
    return EventReached(runs=reached)
