"""Headless Chromium, and a record of what a page did: console, requests, bytes."""

import os
import shutil
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request

from support.ui_server import UiServer

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


def require_chromium() -> str:
    """Return the program, or skip with the reason; where the capability is required its absence fails."""
    found = CHROMIUM if os.access(CHROMIUM, os.X_OK) else shutil.which("chromium")
    if found is None:
        reason = "no Chromium here: apt-get install chromium"
        if os.environ.get("HEADWAY_REQUIRE_CAPABILITIES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclass
class Visit:
    """A page and what it did since it was opened."""

    page: Page
    server: UiServer
    console: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go to a page and wait until it is live, if it will be."""
        self.requests.clear()
        self.page.goto(self.server.url + path)
        return self.page

    def live(self) -> Page:
        self.page.wait_for_selector('#connection[data-state="live"]')
        return self.page

    def note(self, request: Request) -> None:
        self.requests.append(request)

    @property
    def foreign(self) -> list[str]:
        own = urlsplit(self.server.url).netloc
        return [each.url for each in self.requests if urlsplit(each.url).netloc != own]

    def bytes_sent(self) -> int:
        """Sum what came over the wire. Streams are left out: they have no end."""
        done = [each for each in self.requests if "/ui/live" not in each.url]
        return sum(each.sizes()["responseBodySize"] for each in done)

    def nodes(self) -> int:
        return self.page.evaluate("document.querySelectorAll('body *').length")


def visit(browser: Browser, server: UiServer, *, signed_in: bool = True, **options) -> Visit:
    """Open a fresh window on the server. Close its context at the end."""
    context: BrowserContext = browser.new_context(**({"viewport": WIDE} | options))
    context.set_default_timeout(15_000)
    if signed_in:
        context.add_cookies([{"name": "headway_session", "value": server.token, "url": server.url}])
    opened = Visit(context.new_page(), server)
    opened.page.on(
        "console", lambda message: opened.console.append(f"{message.type}: {message.text}")
    )
    opened.page.on("pageerror", lambda error: opened.console.append(f"error: {error}"))
    opened.page.on("request", opened.note)
    return opened


def login_path(server: UiServer, wanted: str) -> str:
    return f"/login?token={quote(server.token)}&next={quote(wanted)}"
