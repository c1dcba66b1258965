"""What several operations share: parameters, documented errors, answers of writes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Header, Query, Response
from pydantic import AwareDatetime

from headway_control_plane.application.errors import InvalidRequest, Problem
from headway_control_plane.application.ports import Cursor
from headway_control_plane.http_api.shapes import ProblemShape

CURSOR_HEADER = "Headway-Cursor"

Responses = dict[int | str, dict[str, Any]]

_DESCRIPTIONS = {
    400: "The request cannot be read.",
    401: "No API key, or one that does not hold.",
    404: "Not there, or another workspace's.",
    409: "Not possible as things stand.",
    410: "The cursor is of another epoch of the log.",
    413: "Too large.",
    422: "Values that can't be accepted; all are listed.",
    429: "Too many at once.",
    503: "Not available now; sending it again is harmless.",
}


def errors(*statuses: int) -> Responses:
    """Document the errors of an operation; every operation can fail to authenticate or to reach the database."""
    return {
        status: {"model": ProblemShape, "description": _DESCRIPTIONS[status]}
        for status in sorted({401, 429, 503, *statuses})
    }


PageCursor = Annotated[
    str | None,
    Query(
        alias="cursor",
        max_length=500,
        description="`next` or `previous` of another page; left out: the first page.",
    ),
]
PageLimit = Annotated[int, Query(ge=1, le=200, description="Most items of the page.")]
Since = Annotated[AwareDatetime | None, Query(description="Made at or after this instant.")]
Until = Annotated[AwareDatetime | None, Query(description="Made before this instant.")]
MinOffset = Annotated[
    str | None,
    Query(
        max_length=40,
        description="Wait until the answer holds the log up to this cursor: read your own writes.",
    ),
]
MinOffsetHeader = Annotated[
    str | None,
    Header(alias="Headway-Min-Offset", max_length=40, description="The same as `min_offset`."),
]


def tell_cursor(response: Response, cursor: Cursor) -> None:
    """Say where the log stands after a write, for `min_offset` of later reads."""
    response.headers[CURSOR_HEADER] = str(cursor)


def require_text(name: str, value: str | None) -> str | None:
    """Refuse a NUL in a query value; the database cannot even compare with it."""
    if value is not None and "\x00" in value:
        raise InvalidRequest(
            "The request holds values that can't be accepted.",
            problems=[Problem(name, "holds a NUL character; remove it")],
        )
    return value


def earliest(since: datetime | None, until: datetime | None) -> None:
    """Refuse a window that ends before it begins: it would look like an empty answer."""
    if since is not None and until is not None and until <= since:
        raise InvalidRequest(
            "The request holds values that can't be accepted.",
            problems=[Problem("until", "must be later than `since`")],
        )
