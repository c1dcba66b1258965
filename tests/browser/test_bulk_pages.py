"""Many runs selected and acted on in a real browser, with a look before; and without any script."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.postgres]


@pytest.fixture(scope="module")
def runs(server):
    world = server.world

    async def fill():
        await world.enrol()
        await world.deploy("nightly-etl", retries=0)
        script = await world.start("nightly-etl", name="broken")
        await script.end(1, "failed", ("ValueError", "no")).send()
        return [script.run, *[await world.create("nightly-etl", f"waiting-{n}") for n in range(4)]]

    made = server.call(fill)
    server.settle()
    return made


def test_selected_runs_are_shown_then_cancelled(runs, window):
    visit = window()
    page = visit.open("/runs")
    expect(page.locator("#bulk")).to_be_hidden()
    page.get_by_label("Select all runs of this page").check()
    expect(page.locator("#picked")).to_have_text("5 selected")
    page.get_by_label("Select this run").nth(0).uncheck()
    expect(page.locator("#picked")).to_have_text("4 selected")
    page.get_by_role("button", name="Cancel selected…").click()
    expect(page.locator("h1")).to_have_text("Cancel 3 runs?")
    expect(page.get_by_label("Left alone")).to_contain_text("broken: it has ended")
    page.get_by_role("button", name="Cancel 3 runs").click()
    expect(page.locator(".notice")).to_contain_text("All 3 runs being cancelled.")
    page.goto(visit.server.url + "/runs?state=waiting")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert visit.console == []


def test_a_selection_stays_while_rows_change(runs, window):
    visit = window()
    page = visit.open("/runs")
    visit.live()
    first = page.get_by_label("Select this run").nth(0)
    first.focus()
    page.keyboard.press("x")
    expect(page.locator("#picked")).to_have_text("1 selected")
    world = visit.server.world

    async def moves():
        await world.grant(runs[-1])

    visit.server.call(moves)
    expect(page.locator(f'tr[data-key="{runs[-1]}"]')).to_contain_text("Pending")
    expect(page.locator(f'tr[data-key="{runs[-1]}"] input')).to_be_checked()


def test_without_script_a_failed_run_is_resumed(runs, window):
    visit = window(java_script_enabled=False)
    page = visit.open("/runs?state=failed")
    page.get_by_label("Select this run").check()
    page.get_by_role("button", name="Resume selected…").click()
    expect(page.locator("h1")).to_have_text("Resume 1 run?")
    page.get_by_role("button", name="Resume 1 run").click()
    expect(page.locator(".notice")).to_contain_text("All 1 run resumed.")
