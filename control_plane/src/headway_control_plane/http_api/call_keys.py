"""Keys of calls as requests name them: whole, or by any beginning that no other has."""

from __future__ import annotations

from uuid import UUID

from headway_control_plane.application.errors import InvalidRequest, Missing, Problem
from headway_control_plane.db.pool import Connection
from headway_control_plane.projections import calls


async def call_of(
    connection: Connection, ws: int, run_id: UUID, fence: int, name: str, key: str | None
) -> bytes | None:
    """Return the key of the call that a query parameter means; None where there is none."""
    if not key:
        return None
    try:
        found = await calls.find_call(connection, ws, run_id, fence, key)
    except ValueError:
        raise broken_key(name) from None
    except calls.AmbiguousCall:
        raise ambiguous_key(name) from None
    if found is None:
        raise Missing(
            "The attempt has no such call.",
            hint=f"List its calls with: GET /api/v1/runs/{run_id}/tasks",
        )
    return found.call


def broken_key(name: str) -> InvalidRequest:
    """Refuse what no key of a call begins with."""
    return _invalid(name, "is no key of a call: up to 32 hexadecimal digits, in small letters")


def ambiguous_key(name: str) -> InvalidRequest:
    """Refuse the beginning of several keys."""
    return _invalid(name, "is the beginning of several calls' keys; give more digits")


def _invalid(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(
        "The request holds values that can't be accepted.", problems=[Problem(name, message)]
    )
