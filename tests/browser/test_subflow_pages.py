"""Sub-flows in a real browser: in the list beside the runs, on a page of their own, alive while they work."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest
from playwright.sync_api import expect

from headway_api.event.v1 import attempt_pb2 as facts
from support.browser import PHONE
from support.ui_world import DRIFT, Script, call_key

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

FLOW = facts.CALL_KIND_FLOW
HOSTILE = '"><img src=x onerror="window.hacked=1">'


def ago(**distance) -> datetime:
    return datetime.now(UTC) - timedelta(**distance)


@pytest.fixture(scope="module")
def history(server):
    """A run that failed in a sub-flow of a sub-flow, one with a sub-flow of 5,000 tasks, one that works."""
    made = SimpleNamespace()
    world = server.world

    async def fill():
        await world.enrol()
        await world.deploy("nightly-etl", retries=0)
        made.failed = tell_failed(await world.start("nightly-etl", begun=ago(minutes=12)))
        await made.failed.send()
        made.big = await world.start("nightly-etl", begun=ago(minutes=9))
        tell_many(made.big)
        await made.big.send()
        made.ranges = await world.start("nightly-etl", begun=ago(minutes=8))
        tell_ranges(made.ranges)
        await made.ranges.send()
        made.working = await world.start("nightly-etl", name="now", begun=ago(seconds=30))
        made.working.call("publish", 1, None, kind=FLOW)
        await made.working.send()

    server.past("-14 minutes", fill)
    server.settle()
    return made


def tell_failed(script: Script) -> Script:
    script.call("extract", 0.5, 8)
    outer = script.call("publish", 9, 52, "failed", kind=FLOW, announce=True, error=DRIFT)
    for n in range(4):
        script.call("upload", 10 + 3 * n, 15 + 3 * n, number=n, parent=outer)
    inner = script.call(
        "check", 24, 50, "failed", kind=FLOW, parent=outer, announce=True, error=DRIFT
    )
    script.call("columns", 25, 30, parent=inner)
    script.call("empty", 52.1, 52.2, kind=FLOW)
    script.call(HOSTILE, 52.3, 52.4, kind=FLOW)
    script.call("kept", 52.5, 52.5, "skipped", kind=FLOW)
    script.say(10, "uploading", call=call_key("upload", 0, outer))
    script.say(26, "14 columns expected", "WARNING", call=call_key("columns", 0, inner))
    script.say(27, "not of a sub-flow", call=call_key("extract"))
    return script.end(53, "failed", DRIFT)


def tell_many(script: Script, count: int = 5_000) -> None:
    outer = script.call("score_all", 0.5, 90, kind=FLOW, announce=True)
    for n in range(count):
        begin = 1 + n * 0.017
        script.call("score", begin, begin + 0.4, number=n, parent=outer)
    script.end(92, "completed")


def tell_ranges(script: Script) -> None:
    outer = script.call("score_all", 0.5, 60, kind=FLOW, announce=True)
    script.map("score", 3_000, 1, parent=outer)
    for n in range(3):
        script.call("score", 30 + n, 33 + n, "failed", number=9_000 + n, parent=outer, error=DRIFT)
    script.call("sum", 40, 41, parent=outer)
    script.map("elsewhere", 1_200, 42)
    script.end(62, "completed")


def test_a_map_that_was_told_as_ranges_counts_filters_and_pages_as_its_calls(
    history, window, server
):
    visit = window()
    key = call_key("score_all").hex()
    page = visit.open(f"/runs/{history.ranges.run}/flows/{key}")
    expect(page.locator("#answer")).to_contain_text("3,001 of 3,004 tasks")
    expect(page.locator("#answer")).to_contain_text("3 failed")
    expect(page.locator("#timeline")).to_contain_text("3,004 calls folded into 2 groups")
    expect(page.locator("#timeline .lanes").first).to_contain_text("3,003")
    expect(page.locator("#tasks .tabs")).to_have_text("All 3,004Failed 3Completed 3,001")
    rows = page.locator("#tasks tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text("3,000")
    page.locator("#tasks .tabs").get_by_role("link", name="Failed").click()
    expect(rows).to_have_count(3)
    page.locator("#tasks .tabs").get_by_role("link", name="Completed").click()
    expect(rows).to_have_count(2)
    rows.first.get_by_role("link").click()
    expect(page.locator("#tasks tbody tr")).to_have_count(100)
    expect(page.locator("#tasks")).to_contain_text("1 to 100 of 500 calls")
    headers = {"Authorization": f"Bearer {server.token}"}
    url = f"{server.url}/api/v1/runs/{history.ranges.run}/tasks?within={key}"
    with httpx.Client(headers=headers, trust_env=False, timeout=20) as api:
        every = api.get(url).json()
        assert (every["counts"]["completed"], every["counts"]["total"]) == (3_001, 3_004)
        assert sum(each["calls"] for each in every["items"]) == 3_004
        failed = api.get(f"{url}&status=failed").json()["items"]
        assert [each["name"] for each in failed] == ["score"] * 3
        seen, after = 0, 0
        while after is not None:
            some = api.get(f"{url}&limit=2&after={after}").json()
            seen, after = seen + sum(each["calls"] for each in some["items"]), some["next"]
        assert seen == 3_004
    assert visit.console == []


def test_a_subflow_has_a_page_with_its_tasks_logs_error_and_what_to_do(history, window):
    visit = window()
    page = visit.open(f"/runs/{history.failed.run}")
    page.locator("#tasks").get_by_role("link", name="publish").click()
    expect(page.locator("h1")).to_have_text("publish")
    expect(page.locator("#head .badge")).to_have_text("Failed")
    expect(page.locator("#error")).to_contain_text("expected 14 columns, found 15")
    tasks = page.locator("#tasks tbody tr")
    expect(tasks).to_have_count(6)
    expect(page.locator("#lines")).to_contain_text("uploading")
    expect(page.locator("#lines")).to_contain_text("14 columns expected")
    expect(page.locator("#lines")).not_to_contain_text("not of a sub-flow")
    page.locator("#tasks").get_by_role("link", name="check", exact=True).click()
    expect(page.locator("h1")).to_have_text("check")
    expect(page.locator("#facts")).to_contain_text("called by")
    page.get_by_role("link", name="Retry from here…").click()
    expect(page.locator("#preview")).to_contain_text("will execute")
    page.go_back()
    page.locator("#head").get_by_role("link", name="nightly-etl").click()
    expect(page).to_have_url(f"{visit.server.url}/runs/{history.failed.run}")
    assert visit.console == []


def test_the_list_shows_subflows_when_asked_and_counts_them(history, window):
    visit = window()
    page = visit.open("/runs")
    expect(page.locator("tbody tr")).to_have_count(4)
    page.get_by_label("Sub-flows").check()
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(12)
    expect(page.locator("#tabs a[aria-current]")).to_contain_text("12")
    expect(page.locator("tbody")).to_contain_text("sub-flow of nightly-etl")
    page.locator("#tabs").get_by_role("link", name="Failed").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    page.locator("#filter").fill("flow:check")
    page.locator("#filter").press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody a.main").click()
    expect(page.locator("h1")).to_have_text("check")
    assert page.evaluate("window.hacked") is None
    assert visit.console == []


def test_the_page_of_a_subflow_with_five_thousand_tasks_stays_small(history, window):
    visit = window()
    key = call_key("score_all").hex()
    page = visit.open(f"/runs/{history.big.run}/flows/{key}")
    expect(page.locator("#timeline")).to_contain_text("5,000 calls folded into 1 group")
    expect(page.locator("#answer")).to_contain_text("5,000 of 5,000 tasks")
    assert visit.nodes() < 1500
    assert visit.bytes_sent() < 90_000
    page.get_by_role("link", name="More tasks").click()
    expect(page.locator("#tasks tbody tr")).to_have_count(25)


def test_a_subflow_that_works_is_followed(history, window):
    visit = window()
    script, world = history.working, visit.server.world
    key = call_key("publish")
    page = visit.open(f"/runs/{script.run}/flows/{key.hex()}")
    visit.live()
    expect(page.locator("#head .badge")).to_have_text("Running")

    async def goes_on():
        script.call("upload", 2, 3, parent=key)
        script.say(3, "a line of the task", call=call_key("upload", 0, key))
        await script.send()

    visit.server.call(goes_on)
    expect(page.locator("#tasks")).to_contain_text("upload")
    expect(page.locator("#lines")).to_contain_text("a line of the task")

    async def crashes():
        await script.end(20, "crashed").send()

    visit.server.call(crashes)
    expect(page.locator("#head .badge")).to_have_text("Interrupted")
    assert world is not None


def test_a_kept_subflow_says_why_nothing_was_called(history, window):
    visit = window()
    key = call_key("kept").hex()
    page = visit.open(f"/runs/{history.failed.run}/flows/{key}")
    expect(page.locator("#answer")).to_contain_text("kept from an earlier attempt")
    expect(page.locator("#tasks")).to_contain_text("its result was there already")


def test_a_call_that_is_no_subflow_has_no_page(history, window):
    visit = window()
    for key in ("0" * 32, "nonsense", call_key("extract").hex()):
        answer = visit.page.goto(f"{visit.server.url}/runs/{history.failed.run}/flows/{key}")
        assert answer.status == 404
        expect(visit.page.locator("main")).to_contain_text("has no sub-flow")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_phone(history, window, scheme):
    visit = window(viewport=PHONE, color_scheme=scheme)
    for path in (
        f"/runs/{history.failed.run}/flows/{call_key('publish').hex()}",
        "/runs?subflows=1",
    ):
        page = visit.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
