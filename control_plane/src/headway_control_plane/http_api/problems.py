"""Errors as problem details (RFC 9457): one table says which status an error has; each answer says what to do next."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import OperationalError
from psycopg.errors import QueryCanceled
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from headway_control_plane.application import errors as application
from headway_control_plane.application.ports import (
    BadCursor,
    EpochChanged,
    IdempotencyConflict,
    Unavailable,
    UnknownWorkspace,
)
from headway_control_plane.domain import errors as domain
from headway_control_plane.http_api.shapes import FieldProblem, ProblemShape
from headway_control_plane.projections.events import BadStream
from headway_control_plane.projections.keyset import BadPageCursor

MEDIA_TYPE: Final = "application/problem+json"
logger = logging.getLogger(__name__)


class CrossOrigin(Exception):
    """A page of another site tries to act through somebody's browser."""


class TooManyStreams(Exception):
    """The workspace has as many event streams open as it may."""


class ProjectionBehind(Exception):
    """A read asked for an offset that the projection did not reach in time."""


# status, title, hint. The first class that fits counts, so special ones stand before their bases.
_TABLE: Final[Sequence[tuple[type[Exception], int, str, str]]] = (
    (
        domain.NotFound,
        404,
        "Not found",
        "Check the id; `headway runs ls` and `headway deployments ls` list what there is.",
    ),
    (
        domain.AlreadyExists,
        409,
        "Already exists",
        "Choose another name, or change the one that exists.",
    ),
    (domain.Conflict, 409, "Changed meanwhile", "Read again and send the request again."),
    (
        domain.InvalidState,
        409,
        "Not possible in this state",
        "Look at the present state: headway runs show ID",
    ),
    (domain.InvalidArgument, 422, "Invalid value", ""),
    (domain.StaleFence, 409, "A newer attempt exists", "Read the run again."),
    (domain.StaleShard, 503, "Changing hands", "Send it again in a second."),
    (domain.Refused, 409, "Refused", ""),
    (application.Missing, 404, "Not found", ""),
    (application.InvalidParameters, 422, "Invalid parameters", ""),
    (application.InvalidRequest, 422, "Invalid request", ""),
    (application.TooLarge, 413, "Too large", ""),
    (application.NotAuthenticated, 401, "Not authenticated", ""),
    (application.UseCaseError, 409, "Refused", ""),
    (IdempotencyConflict, 422, "Idempotency key reused", "Send a new key with a new request."),
    (
        BadCursor,
        400,
        "Bad cursor",
        "Use a cursor that an answer gave you, or 0:0 for the beginning.",
    ),
    (BadPageCursor, 400, "Bad cursor", "Leave the cursor out to begin at the first page."),
    (BadStream, 400, "Bad stream", "Write it as kind/id, for example run/0199..."),
    (
        EpochChanged,
        410,
        "The log has another epoch",
        "Drop what you derived from it and read again from 0:0.",
    ),
    (UnknownWorkspace, 404, "Not found", "Log in again: headway login"),
    (
        CrossOrigin,
        403,
        "Cross-origin request",
        "Call the API from its own origin, or without a browser.",
    ),
    (TooManyStreams, 429, "Too many event streams", "Close some, or share one among its readers."),
    (
        ProjectionBehind,
        503,
        "Not there yet",
        "Send it again; if this stays, see: headway projections verify",
    ),
    (
        Unavailable,
        503,
        "Not available",
        "Send it again; the same idempotency key makes this harmless.",
    ),
    (
        QueryCanceled,
        503,
        "Took too long",
        "Narrow the request: a filter, or `since` with a later time.",
    ),
    (PoolTimeout, 503, "Busy", "Send it again in a few seconds."),
    (
        OperationalError,
        503,
        "Database not reachable",
        "Send it again in a few seconds; see the log of the server.",
    ),
)

_CODES: Final[Mapping[type[Exception], str]] = {
    BadCursor: "bad_cursor",
    BadPageCursor: "bad_cursor",
    BadStream: "bad_stream",
    EpochChanged: "epoch_changed",
    CrossOrigin: "cross_origin",
    TooManyStreams: "too_many_streams",
    ProjectionBehind: "projection_behind",
    Unavailable: "unavailable",
    QueryCanceled: "too_slow",
    PoolTimeout: "busy",
    OperationalError: "database_unreachable",
}


def install(app: FastAPI) -> None:
    """Answer every error with problem details."""
    for kind, *_ in _TABLE:
        app.add_exception_handler(kind, _answer_known)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unknown)


def problem_of(error: Exception) -> ProblemShape:
    """Describe an error of the table."""
    for kind, status, title, hint in _TABLE:
        if isinstance(error, kind):
            detail = _detail(error)
            general = "" if "`headway " in detail else hint  # it names the very command already
            return _shape(
                status,
                title,
                code=getattr(error, "code", "") or _CODES.get(kind, "refused"),
                detail=detail,
                hint=getattr(error, "hint", "") or general,
                problems=getattr(error, "problems", ()),
            )
    raise error


def _detail(error: Exception) -> str:
    # What the database says may hold values of other requests; it goes to our log alone.
    if isinstance(error, QueryCanceled):
        return "The query was ended because it took too long."
    if isinstance(error, OperationalError | PoolTimeout):
        logger.warning("database not reachable", exc_info=error)
        return "The database does not answer."
    return str(error)


async def _answer_known(request: Request, error: Exception) -> JSONResponse:
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    if isinstance(error, application.NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return _respond(request, problem_of(error), headers)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [
        application.Problem(_path(item["loc"]), _lower(str(item["msg"]))) for item in error.errors()
    ]
    malformed = any(item["type"] == "json_invalid" for item in error.errors())
    shape = _shape(
        400 if malformed else 422,
        "Not JSON" if malformed else "Invalid request",
        code="invalid_request",
        detail="The request does not have the shape that this operation takes.",
        hint="See /api/v1/docs for its shape.",
        problems=problems,
    )
    return _respond(request, shape)


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    hint = "See /api/v1/docs for what there is." if error.status_code in {404, 405} else ""
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(
        error.status_code, "refused"
    )
    shape = _shape(
        error.status_code, str(error.detail), code=code, detail=str(error.detail), hint=hint
    )
    return _respond(request, shape, dict(error.headers or {}))


async def _answer_unknown(request: Request, error: Exception) -> JSONResponse:
    logger.error("request failed", exc_info=error, extra={"path": request.url.path})
    shape = _shape(
        500,
        "Our mistake",
        code="internal",
        detail="The request failed because of a defect on our side.",
        hint="Look for the request id in the server's log, and report it.",
    )
    return _respond(request, shape)


def _shape(
    status: int,
    title: str,
    *,
    code: str,
    detail: str,
    hint: str = "",
    problems: Sequence[application.Problem] = (),
) -> ProblemShape:
    return ProblemShape(
        type=f"urn:headway:problem:{code}",
        title=title,
        status=status,
        code=code,
        detail=detail,
        hint=hint,
        errors=[FieldProblem(path=problem.path, message=problem.message) for problem in problems],
    )


def _respond(
    request: Request, shape: ProblemShape, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    shape.request_id = getattr(request.state, "request_id", "")
    return JSONResponse(
        shape.model_dump(), shape.status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def _path(location: Sequence[Any]) -> str:
    words = [str(part) for part in location if part not in {"body", "query", "path", "header"}]
    return ".".join(words) or "$"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
