"""A browser and a server for each module: a browser of a whole session would leave its loop to other tests."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from support.browser import ARGUMENTS, Visit, require_chromium, visit
from support.ui_server import UiServer, serve_ui


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = require_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(postgres_server) -> Iterator[UiServer]:
    """An empty workspace; modules fill it."""
    with postgres_server.database() as scratch, serve_ui(scratch.url) as served:
        yield served


@pytest.fixture
def window(chromium: Browser, server: UiServer) -> Iterator[Callable[..., Visit]]:
    """Open windows that are closed after the test."""
    opened: list[Visit] = []

    def open_window(**options) -> Visit:
        opened.append(visit(chromium, server, **options))
        return opened[-1]

    yield open_window
    for each in opened:
        each.page.context.close()
