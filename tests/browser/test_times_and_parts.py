"""The strip of starts above the list, the reader's time zone, and a part of a run's time."""

import os
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from headway_control_plane.ids import Uuid7Source
from support.browser import PHONE
from support.ui_world import DRIFT

pytestmark = [pytest.mark.browser, pytest.mark.postgres]


@pytest.fixture(scope="module")
def history(server):
    """Two days ago a run that completed; now two that failed, one of them with five hundred calls."""
    made = SimpleNamespace()
    world = server.world

    # What is created then has an id of then.
    made.begun = datetime.now(UTC) - timedelta(hours=47)
    usual, world.new_id = world.new_id, Uuid7Source(SimpleNamespace(now=lambda: made.begun), os.urandom)  # fmt: skip

    async def before():
        await world.enrol()
        await world.deploy("nightly", retries=0)
        await world.deploy("wide", retries=0)
        script = await world.start("nightly", begun=made.begun)
        script.say(0.5, "reads the orders")
        await script.end(1, "completed").send()
        made.old = script.run

    async def wide():
        made.wide = await world.start("wide", begun=datetime.now(UTC) - timedelta(minutes=2))
        for n in range(500):
            made.wide.call("score", n * 0.1, n * 0.1 + 0.05, number=n)
        made.wide.end(51, "failed", DRIFT)

    async def now():
        await made.wide.send()
        script = await world.start("nightly", begun=datetime.now(UTC) - timedelta(minutes=1))
        await script.end(1, "failed", DRIFT).send()
        made.wide = made.wide.run

    server.past("-47 hours", before)
    world.new_id = usual
    server.past("-2 minutes", wide)
    server.call(now)
    server.settle()
    return made


# The strip --------------------------------------------------------------------------------------


def test_a_bar_narrows_the_list_to_its_runs(window, history):
    page = window().open("/runs")
    bars = page.locator(".starts a")
    expect(bars).to_have_count(2)
    expect(bars.first).to_have_attribute("aria-label", re.compile(r": 1 run, 1 completed$"))
    expect(bars.last).to_have_attribute("aria-label", re.compile(r": 2 runs, 2 failed$"))
    bars.first.focus()
    page.keyboard.press("ArrowRight")
    expect(bars.last).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"q=since%3A.*until%3A"))
    expect(page.locator("tbody tr[data-key]")).to_have_count(2)
    expect(page.locator(".chip")).to_have_count(2)
    page.locator(".chip").first.click()
    page.locator(".chip").first.click()
    expect(page.locator("tbody tr[data-key]")).to_have_count(3)


def test_the_strip_is_one_stop_for_the_tab_key(window, history):
    page = window().open("/runs")
    assert page.locator('.starts a[tabindex="0"]').count() == 1


def test_the_strip_shows_what_the_list_shows(window, history):
    page = window().open("/runs?state=completed")
    expect(page.locator(".starts a")).to_have_count(1)
    page.goto(page.url.replace("state=completed", "q=tag:nothing"))
    expect(page.locator(".starts")).to_have_count(0)
    page = window(viewport=PHONE).open("/runs")
    assert page.locator(".starts").bounding_box()["height"] < 80


def test_bars_are_links_without_scripts(window, history):
    page = window(java_script_enabled=False).open("/runs")
    page.locator(".starts a").first.click()
    expect(page.locator("tbody tr[data-key]")).to_have_count(1)


# Time zones -------------------------------------------------------------------------------------


def test_a_chosen_zone_holds_on_all_pages_and_machines_keep_utc(window, history):
    page = window().open(f"/runs/{history.old}")
    page.get_by_title("Time zone of all pages").click()
    page.get_by_label("Name of the zone").fill("Asia/Kolkata")
    page.get_by_label("Another:").check()
    page.get_by_role("button", name="Use it").click()
    expect(page).to_have_url(re.compile(f"/runs/{history.old}$"))
    there = history.begun + timedelta(seconds=0.5, hours=5, minutes=30)
    line = page.locator(".log time").first
    expect(line).to_have_text(re.compile(f"^{there:%H:%M:%S}"))
    expect(line).to_have_attribute("datetime", re.compile(r"Z$"))
    expect(line).to_have_attribute("title", re.compile(r"\+05:30 Asia/Kolkata\n.* UTC"))
    expect(page.locator(".answer time")).to_have_text(re.compile(f"{there:%-d %b %H:%M}"))
    expect(page.locator("#events thead")).not_to_contain_text("UTC")
    page.goto(page.url.partition("/runs")[0] + "/runs?q=since:2d")
    expect(page.locator(".starts figcaption")).to_contain_text("+05:30")


def test_the_browsers_zone_is_followed_where_it_goes(window, history):
    here = window(timezone_id="Europe/Berlin")
    page = here.open("/time-zone?next=/agents")
    page.get_by_label("This browser's").check()
    page.get_by_role("button", name="Use it").click()
    expect(page).to_have_url(re.compile("/agents$"))
    expect(page.locator(".top .zone")).to_have_text("Europe/Berlin")
    cookies = page.context.cookies()
    away = window(timezone_id="America/New_York")
    away.page.context.add_cookies(cookies)
    away.open("/agents")
    expect(away.page.locator(".top .zone")).to_have_text("America/New_York")


def test_utc_times_tell_the_browsers_in_their_hint(window, history):
    page = window(timezone_id="Asia/Tokyo").open("/runs")
    hints = page.locator("tbody time")
    expect(hints.first).to_have_attribute("title", re.compile(r"UTC\n.* Asia/Tokyo"))
    expect(hints.last).to_have_attribute("title", re.compile(r"UTC\n.* Asia/Tokyo"))


def test_what_is_no_zone_is_told(window, history):
    page = window().open("/time-zone")
    page.get_by_label("Another:").check()
    page.get_by_label("Name of the zone").fill("Mars/Olympus")
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("alert")).to_contain_text("'Mars/Olympus' is no time zone")
    expect(page.get_by_label("Name of the zone")).to_have_value("Mars/Olympus")


# A part of a run's time -------------------------------------------------------------------------


def test_a_part_of_a_long_run_shows_its_calls(window, history):
    visit = window()
    page = visit.open(f"/runs/{history.wide}")
    expect(page.locator("#timeline")).to_contain_text("500 calls folded into 1 group")
    page.locator(".zoom input[name=from]").fill("10")
    page.locator(".zoom input[name=to]").fill("10.32")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"from=10&to=10\.32"))
    expect(page.locator("#timeline")).not_to_contain_text("folded")
    lanes = page.locator("#timeline .lanes").first.locator("li[data-lane]")
    group = lanes.filter(has_text="score")
    expect(group.first).to_contain_text("score")
    assert visit.nodes() < 1500
    page.keyboard.press("f")
    expect(page).not_to_have_url(re.compile("from="))


def shown(page) -> tuple[float, float]:
    begin, end = (page.locator(f".zoom input[name={name}]").input_value() for name in ("from", "to"))  # fmt: skip
    return float(begin), float(end)


def test_keys_and_the_pointer_choose_a_part(window, history):
    page = window().open(f"/runs/{history.wide}")
    page.keyboard.press("+")
    expect(page).to_have_url(re.compile("from="))
    closer = page.url
    page.locator('a[data-zoom="ArrowRight"]').focus()
    page.keyboard.press("ArrowRight")
    expect(page).not_to_have_url(closer)
    expect(page.locator(":focus")).to_have_attribute("data-zoom", re.compile("Arrow"))
    first, last = shown(page)
    plot = page.locator(".plot")
    width = plot.bounding_box()["width"]
    plot.hover(position={"x": width / 4, "y": 30})
    page.mouse.down()
    plot.hover(position={"x": width / 2, "y": 30}, force=True)
    expect(page.locator(".brush")).to_be_visible()
    before = page.url
    page.mouse.up()
    expect(page).not_to_have_url(before)
    begin, end = shown(page)
    assert (end - begin) / (last - first) == pytest.approx(1 / 4, abs=0.02)


def test_parts_are_reached_without_scripts_and_nonsense_shows_all(window, history):
    page = window(java_script_enabled=False).open(f"/runs/{history.wide}")
    page.get_by_label("Closer (+)").click()
    expect(page).to_have_url(re.compile("from=.*&to="))
    page.get_by_label("The whole run (f)").click()
    expect(page).not_to_have_url(re.compile("from="))
    for query in ("from=5&to=1", "from=x&to=1", "from=1e9&to=2", "from=3"):
        page.goto(f"{page.url.partition('?')[0]}?{query}")
        expect(page.locator("#timeline")).to_contain_text("500 calls folded")
    page.goto(f"{page.url.partition('?')[0]}?from=900&to=901")
    expect(page.locator("#timeline")).to_contain_text("No call was executing in this part.")
