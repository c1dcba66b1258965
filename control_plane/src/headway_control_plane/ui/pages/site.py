"""What all pages share: who looks, how a refusal becomes a page, how a form is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote
from uuid import UUID

from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway_control_plane.application.errors import Missing, UseCaseError
from headway_control_plane.application.ports import START, BadCursor, EpochChanged, Unavailable
from headway_control_plane.domain.errors import NotFound, Refused
from headway_control_plane.projections.keyset import BadPageCursor
from headway_control_plane.projections.read_model import Freshness
from headway_control_plane.ui.rendering import Renderer
from headway_control_plane.ui.security import ForeignForm, require_own_form
from headway_control_plane.ui.services import Services, Viewer

PROJECTION = "task_timeline"
MAX_FORM_BYTES = 512 * 1024

PageHandler = Callable[["Site", Request, Viewer], Awaitable[Response]]


class NoSuchPage(Exception):
    """The address names something that is not in this workspace."""

    def __init__(self, what: str, href: str, where: str) -> None:
        super().__init__(what)
        self.href = href
        self.where = where


class FormTooLarge(UseCaseError):
    """A posted form is larger than any of ours can be."""

    code = "too_large"


@dataclass(frozen=True, slots=True)
class Site:
    """Services and templates, as handlers get them."""

    services: Services
    renderer: Renderer

    async def freshness(self, viewer: Viewer) -> Freshness:
        """Say how far what pages show lies behind the log."""
        return await self.services.engine.freshness(viewer.ws, PROJECTION)

    async def show(
        self,
        request: Request,
        viewer: Viewer,
        template: str,
        values: dict[str, Any],
        *,
        freshness: Freshness | None = None,
        status: int = 200,
    ) -> Response:
        """Answer with a page."""
        if freshness is None:
            freshness = await self.freshness(viewer)
        return self.renderer.page(request, template, viewer, freshness, values, status=status)

    def guarded(self, handler: PageHandler) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint for a handler: signed-in people only, refusals as pages with a next step."""

        async def endpoint(request: Request) -> Response:
            viewer = await self.services.sessions.viewer(request)
            if viewer is None:
                return _to_login(request)
            try:
                return await handler(self, request, viewer)
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    raise
                return await self._show_problem(request, viewer, problem)

        return endpoint

    async def _show_problem(self, request: Request, viewer: Viewer, problem: Problem) -> Response:
        try:
            freshness = await self.freshness(viewer)
        except (OperationalError, PoolTimeout):
            freshness = UNKNOWN
        return await self.show(
            request,
            viewer,
            "problem.html",
            {"problem": problem},
            freshness=freshness,
            status=problem.status,
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, on whose side, and one step on."""

    status: int
    title: str
    text: str
    hint: str = ""
    href: str = "/runs"
    where: str = "Runs"
    details: tuple[str, ...] = ()


UNKNOWN = Freshness(START, START, "", 0)


def problem_of(error: Exception) -> Problem | None:
    """Return what a refusal looks like to a person; None for what is a mistake of ours."""
    match error:
        case NoSuchPage():
            return Problem(404, "Not here", str(error), href=error.href, where=error.where)
        case Missing() | NotFound():
            return Problem(404, "Not here", str(error), hint=getattr(error, "hint", ""))
        case ForeignForm():
            return Problem(403, "Not sent", str(error))
        case UseCaseError():
            details = tuple(f"{each.path}: {each.message}" for each in error.problems)
            return Problem(422, "Not accepted", error.message, error.hint, details=details)
        case Refused():
            return Problem(409, "Not possible now", error.message)
        case EpochChanged():
            text = "The database was restored since this link was made. What it pointed to may be elsewhere."
            return Problem(410, "An older history", text, href="/events", where="Events")
        case BadCursor() | BadPageCursor():
            return Problem(400, "This link is broken", str(error))
        case Unavailable() | OperationalError() | PoolTimeout():
            text = "The database does not answer. Runs that are under way go on; nothing that was accepted is lost."
            return Problem(
                503,
                "Our side is down",
                text,
                "Reload in a few seconds. The server's own log says more.",
            )
        case _:
            return None


def _to_login(request: Request) -> Response:
    if request.method != "GET" or request.url.path.startswith("/ui/"):
        return Response("Sign in first: /login", status_code=401)
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = quote(request.url.path + query, safe="/")
    return RedirectResponse(f"/login?next={wanted}", status_code=303)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a posted form."""

    fields: dict[str, str]
    pairs: Sequence[tuple[str, str]] = ()

    def text(self, name: str) -> str:
        return self.fields.get(name, "").strip()

    def all(self, name: str) -> list[str]:
        """The values of a field that may come several times."""
        return [value for field, value in self.pairs if field == name]


async def read_form(request: Request, viewer: Viewer) -> Form:
    """Read a form that one of this session's pages has sent; raises ForeignForm."""
    pairs = await _read_pairs(request)
    form = Form(dict(pairs), pairs)
    require_own_form(request, viewer.secret, form.text("form_token"))
    return form


async def read_fields(request: Request) -> dict[str, str]:
    """Read the fields of a URL-encoded body, of bounded size."""
    return dict(await _read_pairs(request))


async def _read_pairs(request: Request) -> list[tuple[str, str]]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise FormTooLarge(
                "The form is larger than 512 KiB.", hint="Pass large values by reference."
            )
    return parse_qsl(body.decode(errors="replace"), keep_blank_values=True)


def path_id(request: Request, name: str = "id") -> UUID:
    """Return the id in the address."""
    text = request.path_params[name]
    try:
        return UUID(text)
    except ValueError:
        raise NoSuchPage(f"{text!r} is no id of a run.", "/runs", "Runs") from None


def number_of(request: Request, name: str, default: int = 0) -> int:
    """Return a whole number of the query; anything else counts as absent."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else default
