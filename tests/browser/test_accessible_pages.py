"""No page breaks a rule that axe can check, in light and dark, wide and on a phone."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe

from support.browser import PHONE
from support.ui_world import DRIFT, tell_nightly

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

# WCAG 2.2 at AA, and what axe holds to be good practice beside it.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = (
    "/runs", "/runs?q=state:failed&since=24h", "/runs?q=zzz", "/runs?q=stat:failed", "/runs/{run}", "/runs/{run}?from=1&to=20",
    "/runs/{asking}", "/runs/{run}/plan", "/runs/bulk?action=resume&run={run}", "/deployments", "/deployments/nightly-etl",
    "/agents", "/artifacts", "/variables", "/events", "/search?q=nightly", "/time-zone", "/runs/none",
)  # fmt: skip


@pytest.fixture(scope="module")
def shown(server):
    """A failed run with a retry and a sub-flow, one that asks, one that completed, a day ago and now."""
    made = SimpleNamespace()
    world = server.world

    async def before():
        await world.enrol()
        await world.deploy("nightly-etl", description="Orders into the warehouse")
        script = await world.start("nightly-etl", begun=datetime.now(UTC) - timedelta(days=1))
        script.call("load", 0.1, 2.0)
        await script.end(2.5, "completed").send()

    async def now():
        failed = await world.start("nightly-etl", begun=datetime.now(UTC) - timedelta(minutes=2))
        await tell_nightly(failed).end(60, "failed", DRIFT).send()
        made.run = failed.run
        asking = await world.start("nightly-etl", begun=datetime.now(UTC))
        await asking.say(0.1, "reads", "ERROR").suspend(0.5, asks={"type": "boolean"}).send()
        made.asking = asking.run

    server.past("-1 day", before)
    server.call(now)
    server.settle()
    return made


@pytest.mark.parametrize(
    "options",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": PHONE}],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing(window, shown, options):
    visit = window(**options)
    found = {}
    for path in PAGES:
        page = visit.open(path.format(run=shown.run, asking=shown.asking))
        broken = Axe().run(page, options={"runOnly": RULES}).response["violations"]
        if broken:
            found[path] = [(each["id"], [node["html"][:160] for node in each["nodes"][:3]]) for each in broken]  # fmt: skip
    told = [
        f"{path}: {rule}: {html}"
        for path, rules in found.items()
        for rule, nodes in rules
        for html in nodes
    ]
    assert not told, "\n".join(told)


def test_the_page_to_sign_in_too(window):
    page = window(signed_in=False).open("/login")
    assert Axe().run(page, options={"runOnly": RULES}).response["violations"] == []
