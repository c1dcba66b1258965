"""One UI with two workspaces in it, for tests that the one tells nothing of the other and does nothing to it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from starlette.routing import Route

from headway_control_plane.ui.routes import routes
from support.two_workspaces import Neighbour, found_neighbour
from support.ui_server import UiServer, serve_ui

# Routes that name something, by what it is.
NAMING = {
    ("GET", "/runs/{id}"): "run",
    ("GET", "/runs/{id}/flows/{call}"): "run",
    ("GET", "/ui/runs/{id}/flows/{call}/log"): "run",
    ("POST", "/runs/{id}/cancel"): "run",
    ("POST", "/runs/{id}/release"): "run",
    ("POST", "/runs/{id}/input"): "run",
    ("GET", "/runs/{id}/plan"): "run",
    ("POST", "/runs/{id}/fork"): "run",
    ("POST", "/runs/{id}/again"): "run",
    ("GET", "/ui/runs/{id}/log"): "run",
    ("GET", "/ui/runs/{id}/artifacts/{artifact}"): "run",
    ("GET", "/artifacts/{key}"): "deployment",  # any name of theirs
    ("GET", "/deployments/{name}"): "deployment",
    ("POST", "/deployments/{name}/run"): "deployment",
}


FORM_TOKEN = re.compile(r"[A-Za-z0-9_-]{86}==")


def ui_routes(server: UiServer) -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for route in routes(server.pages)
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


def target(path: str, name: str) -> str:
    return re.sub(r"\{\w+\}", name, path)


@pytest.fixture(scope="module")
def server(postgres_server) -> Iterator[UiServer]:
    with postgres_server.database() as scratch, serve_ui(scratch.url) as served:
        yield served


@pytest.fixture(scope="module")
def other(server: UiServer) -> Neighbour:
    """The other workspace; our own has a deployment and a run too, so that lists are not empty."""
    world = server.world

    async def fill() -> Neighbour:
        await world.enrol("our-agent")
        await world.deploy("ours")
        await world.create("ours")
        return await found_neighbour(server)

    made = server.call(fill)
    server.settle()
    return made


@pytest.fixture
def us(server: UiServer) -> Iterator[httpx.Client]:
    with browser(server, server.token) as client:
        yield client


def browser(server: UiServer, token: str = "", **headers: str) -> httpx.Client:
    made = httpx.Client(base_url=server.url, trust_env=False, timeout=20, headers=headers)
    if token:
        made.cookies.set("headway_session", token)
    return made


def form_token(client: httpx.Client) -> str:
    """A token that this session's own pages bring."""
    found = FORM_TOKEN.search(client.get("/deployments/ours").text)
    assert found is not None
    return found[0]


def other_head(server: UiServer, other: Neighbour) -> object:
    return server.call(lambda: server.pages.reader.head(other.world.ws))


def our_head(server: UiServer) -> object:
    return server.call(lambda: server.pages.reader.head(server.world.ws))
