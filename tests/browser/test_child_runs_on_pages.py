"""Runs that a run has started: its timeline and its list lead to them and say how they stand, and they lead back."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.background.children import Children
from headway_control_plane.clock import SystemClock
from support.ui_server import AllShards
from support.ui_world import DRIFT, call_key

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

WAIT = facts.CALL_KIND_WAIT


@pytest.fixture(scope="module")
def family(server):
    """A parent that waits for one child after one that failed and one that nobody could make; one that has ended."""
    world, made = server.world, SimpleNamespace()
    begun = datetime.now(UTC) - timedelta(minutes=5)

    async def make_children():
        work = Children(
            server.database, world.log, server.pages.catalogue, AllShards(), SystemClock()
        )
        await work.run_once()

    async def fill():
        await world.enrol()
        for name in ("parent", "part"):
            await world.deploy(name, retries=0)
        parent = await world.start("parent", begun=begun)
        parent.ask_run(1, "part", region="eu")
        parent.ask_run(1, "part", number=1, region="eu")
        parent.ask_run(2, "no-such-deployment")
        await parent.send()
        await make_children()
        made.parent = parent

    server.past("-6 minutes", fill)

    async def go_on():
        first, second = await children_of(server, made.parent.run)
        made.failed, made.waited = first, second
        await world.grant(first)
        failing = await world._begin(first, 1, datetime.now(UTC))
        await failing.end(1, "failed", DRIFT).send()
        parent = made.parent
        parent.call("part", 1, 30, kind=WAIT)
        parent.call(
            "no-such-deployment", 2, 3, "failed", kind=WAIT, error=("RunRefused", "no such one")
        )
        wait = {"call": call_key("part", 1), "kind": "run", "name": "part", "run": second.bytes}
        await parent.suspend(40, **wait).send()

    server.call(go_on)
    server.settle()
    return made


async def children_of(server, run):
    async with server.pages.reads.workspace(server.world.ws) as connection:
        found = await connection.execute(
            "SELECT run FROM run WHERE parent_run = %s ORDER BY parent_call = %s DESC",
            [run, call_key("part")],
        )
        return [child for (child,) in await found.fetchall()]


def test_rows_and_bars_of_calls_lead_to_their_runs(family, window):
    visit = window()
    page = visit.open(f"/runs/{family.parent.run}")
    failed = page.locator("#tasks tbody tr").filter(has_text="part")
    expect(failed).to_contain_text("failed")
    expect(failed.locator("a.main")).to_have_attribute("href", f"/runs/{family.failed}")
    refused = page.locator("#tasks tbody tr").filter(has_text="no-such-deployment")
    expect(refused).to_contain_text(
        "RunRefused: no run: There is no deployment 'no-such-deployment'"
    )
    lanes = page.locator("#timeline .lanes").first.locator("li")
    bars = page.locator(f'#timeline svg a[href="/runs/{family.waited}"]')
    expect(bars).to_have_count(1)
    expect(lanes.filter(has=page.locator(f'a[href="/runs/{family.waited}"]'))).to_have_count(1)
    expect(page.locator("#timeline .notes")).to_contain_text("scheduled")
    page.locator(f'#timeline .lanes a[href="/runs/{family.failed}"]').click()
    expect(page.locator("#head .badge")).to_have_text("Failed")
    back = page.locator("#facts div").filter(has_text="started by").get_by_role("link")
    back.click()
    expect(page).to_have_url(f"{visit.server.url}/runs/{family.parent.run}")
    facts_shown = page.locator("#facts")
    expect(facts_shown).to_contain_text("no-such-deployment: no run: There is no deployment")
    assert visit.console == []
