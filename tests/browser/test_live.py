"""Pages that change while somebody looks: in place, without jumping, and honest when they no longer do."""

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from support.ui_world import DRIFT, Script

pytestmark = [pytest.mark.browser, pytest.mark.postgres]


@pytest.fixture(scope="module")
def world(server):
    async def base():
        await server.world.enrol()
        await server.world.deploy("nightly-etl", retries=0)

    server.past("-1 hour", base)
    return server.world


def begin(server) -> Script:
    async def start():
        return await server.world.start("nightly-etl", begun=datetime.now(UTC))

    return server.call(start)


def test_a_row_changes_in_place(window, server, world):
    script = begin(server)
    visit = window()
    visit.open("/runs")
    page = visit.live()
    row = page.locator(f'tr[data-key="{script.run}"]')
    expect(row).to_contain_text("Running")
    script.call("load", 0, 0.1)
    server.call(script.send)
    expect(row).to_contain_text("1/1")
    script.end(1, "failed", DRIFT)
    server.call(script.send)
    expect(row).to_contain_text("Failed")
    expect(row).to_contain_text("expected 14 columns")
    assert visit.console == []


def test_new_runs_come_by_themselves_unless_somebody_reads(window, server, world):
    begin(server)
    visit = window()
    visit.open("/runs")
    page = visit.live()
    first = begin(server)
    expect(page.locator("tbody tr[data-key]").first).to_have_attribute("data-key", str(first.run))
    page.locator("tbody tr[data-key]").first.hover()
    begin(server)
    begin(server)
    expect(page.locator("#fresh")).to_have_text(re.compile(r"2 new runs"))
    expect(page.locator("tbody tr[data-key]").first).to_have_attribute("data-key", str(first.run))
    page.locator("#fresh a").click()
    expect(page.locator("tbody tr[data-key]").nth(2)).to_have_attribute("data-key", str(first.run))


def test_focus_stays_where_it_was(window, server, world):
    script = begin(server)
    visit = window()
    visit.open("/runs")
    page = visit.live()
    link = page.locator(f'tr[data-key="{script.run}"] a.main')
    link.focus()
    server.call(script.end(1, "completed").send)
    expect(page.locator(f'tr[data-key="{script.run}"]')).to_contain_text("Completed")
    expect(link).to_be_focused()


def test_a_run_is_followed_to_its_end(window, server, world):
    script = begin(server)
    visit = window()
    visit.open(f"/runs/{script.run}")
    page = visit.live()
    expect(page.locator("#no-lines")).to_have_text("Nothing was printed yet.")
    script.say(0.1, "reading").call("load", 0, 0.5)
    server.call(script.send)
    expect(page.locator("#lines li")).to_have_count(1)
    expect(page.locator("#timeline")).to_contain_text("load")
    script.say(0.2, "it broke", "ERROR").end(1, "failed", DRIFT)
    server.call(script.send)
    expect(page.locator("#lines li")).to_have_count(2)
    expect(page.locator(".badge")).to_have_text("Failed")
    expect(page.locator(".card.error")).to_be_visible()
    expect(page.locator("#connection")).to_have_attribute("data-state", "idle")
    assert visit.console == []


def test_a_page_says_when_it_is_no_longer_live(window, server, world):
    visit = window()
    visit.open("/runs")
    page = visit.live()
    page.route("**/ui/live*", lambda route: route.abort())
    server.loop.call_soon_threadsafe(server.closing.set)
    begin(server)
    expect(page.locator("#stale")).to_have_text(re.compile(r"Live updates stopped \d+ s ago"))
    expect(page.locator("#connection")).to_have_attribute("data-state", "stopped")
    server.loop.call_soon_threadsafe(server.closing.clear)
    page.unroute("**/ui/live*")
    visit.live()
    expect(page.locator("#stale")).to_be_hidden()


def test_a_question_comes_before_what_cannot_be_undone(window, server, world):
    script = begin(server)
    visit = window()
    visit.open(f"/runs/{script.run}")
    page = visit.live()
    cancel = page.locator(".title button", has_text="Cancel")
    cancel.click()
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("agent-5")
    expect(dialog.locator("button", has_text="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator(".badge")).to_have_text("Running")
    cancel.click()
    dialog.locator("button.danger").click()
    expect(page.locator(".badge")).to_have_text("Cancelling")


def test_the_first_run_ever_takes_the_place_of_the_lesson(chromium, postgres_server):
    from support.browser import visit
    from support.ui_server import serve_ui

    with postgres_server.database() as scratch, serve_ui(scratch.url) as empty:
        seen = visit(chromium, empty)
        seen.open("/runs")
        page = seen.live()
        expect(page.locator(".empty")).to_contain_text("headway deploy hello.py:hello")
        for where, words in (
            ("/deployments", "headway deploy"),
            ("/agents", "headway agent start"),
        ):
            other = visit(chromium, empty)
            expect(other.open(where).locator(".empty").first).to_contain_text(words)
            other.page.context.close()

        async def first():
            await empty.world.enrol()
            await empty.world.deploy("nightly-etl")
            await empty.world.start("nightly-etl")

        empty.call(first)
        expect(page.locator("tbody tr[data-key]")).to_have_count(1)
        assert seen.console == []
        page.context.close()
