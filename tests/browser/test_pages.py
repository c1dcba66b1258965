"""Pages in a real browser, over a real log: what they say, what they cost, and that they act."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from support.browser import PHONE
from support.ui_world import DRIFT, TRACE, Script, call_key, tell_nightly

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

HOSTILE = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
RTL = "\u202egnol\u202c עברית"


def ago(**distance) -> datetime:
    return datetime.now(UTC) - timedelta(**distance)


@pytest.fixture(scope="module")
def history(server):
    """A day in a workspace: plain successes, a retried failure, ten thousand tasks, hostile names."""
    made = SimpleNamespace()
    world = server.world

    async def base():
        await world.enrol()
        await world.deploy("nightly-etl", description="Orders into the warehouse")
        await world.deploy("wide-map", retries=0)
        await world.deploy("hostile", HOSTILE, retries=0)
        for _ in range(20):
            script = await world.start("nightly-etl", begun=ago(days=1))
            script.call("load", 0.1, 2.0)
            await script.end(2.5, "completed").send()

    async def first_attempt():
        made.failed = await world.start("nightly-etl", begun=ago(minutes=12))
        tell_nightly(made.failed, scale=2).end(108, "failed", DRIFT)

    async def second_attempt():
        await made.failed.send()
        made.second = await world.next_attempt(made.failed, begun=ago(minutes=10))
        tell_nightly(made.second, scale=2).end(108, "failed", DRIFT)

    async def big():
        await made.second.send()
        made.big = await world.start("wide-map", begun=ago(minutes=4))
        tell_many(made.big)

    async def hostile():
        await made.big.send()
        script = await world.start(
            "hostile", name=RTL + HOSTILE, tags=[HOSTILE[:60]], begun=ago(seconds=4)
        )
        script.call(HOSTILE, 0.1, 1)
        script.call("x" * 300, 1, 2, "failed", error=(HOSTILE, HOSTILE))
        script.say(1, HOSTILE + "\x1b[31m" + RTL)
        await script.end(2, "failed", (HOSTILE, HOSTILE, TRACE)).send()
        made.hostile = script

    server.past("-1 day", base)
    server.past("-12 minutes", first_attempt)
    server.past("-10 minutes", second_attempt)
    server.past("-4 minutes", big)
    server.past("-2 minutes", hostile)
    server.settle()
    return made


def tell_many(script: Script, count: int = 10_000) -> None:
    for n in range(count):
        begin, bad = 0.5 + n * 0.01, n % 997 == 0
        outcome = "failed" if bad else "completed"
        error = ("ValueError", "bad row") if bad else None
        script.call("score", begin, begin + 0.4, outcome, number=n, error=error)
    script.call("merge", 104, 110)
    script.end(115, "failed", ("ValueError", "11 rows could not be scored"))


def path(script: Script) -> str:
    return f"/runs/{script.run}"


# What pages say ---------------------------------------------------------------------------------


def test_the_list_says_state_reason_and_age_of_each_run(window, history):
    page = window().open("/runs")
    row = page.locator(f'tr[data-key="{history.failed.run}"]')
    expect(row).to_contain_text("Failed")
    expect(row).to_contain_text("RuntimeError: expected 14 columns, found 15: region")
    expect(row.locator("time")).to_have_text(re.compile(r"\d+ m ago"))
    expect(row).to_contain_text("1 failed · 31/32")
    rows = page.locator("tbody tr[data-key]").all()
    seen = [row for row in rows if row.bounding_box()["y"] + row.bounding_box()["height"] <= 900]
    assert len(seen) >= 16


def test_numbers_lead_to_what_they_count(window, history):
    page = window().open("/runs")
    tab = page.locator(".tabs a", has_text="Failed")
    number = int(re.sub(r"\D", "", tab.inner_text()))
    tab.click()
    expect(page).to_have_url(re.compile(r"/runs\?state=failed$"))
    expect(page.locator("tbody tr[data-key]")).to_have_count(number)


def test_filters_live_in_the_address(window, history):
    page = window().open("/runs")
    page.keyboard.press("/")
    page.keyboard.type("deployment:wide-map")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=deployment%3Awide-map"))
    expect(page.locator("tbody tr[data-key]")).to_have_count(1)
    page.locator(".chip").click()
    expect(page.locator("tbody tr[data-key]")).to_have_count(23)
    page.go_back()
    expect(page.locator("tbody tr[data-key]")).to_have_count(1)


def test_a_filter_that_hides_everything_says_so(window, history):
    page = window().open("/runs?state=cancelled")
    expect(page.locator(".empty")).to_contain_text("It hides 23 in other states")


def test_a_failed_run_answers_before_anything_else(window, history):
    page = window().open(path(history.failed))
    card = page.locator(".card.error")
    expect(card).to_contain_text("RuntimeError: expected 14 columns, found 15: region")
    expect(card).to_contain_text("flows.py:25 in optional_check")
    expect(card).to_contain_text("resume it")
    assert card.bounding_box()["y"] < 200
    timeline = page.locator(".timeline").bounding_box()
    assert timeline["y"] + timeline["height"] < 900, "the picture is seen without scrolling"
    card.locator("summary").click()
    expect(card.locator(".frames li.user")).to_have_count(2)


def test_the_timeline_draws_attempts_groups_retries_and_sub_flows(window, history):
    page = window().open(path(history.failed))
    lanes = page.locator(".timeline .lanes").first
    for words in (
        "#1 on agent-5",
        "#2 on agent-5",
        "extract",
        "flaky",
        "publish",
        "upload",
        "optional_check",
    ):
        expect(lanes).to_contain_text(words)
    flaky = page.locator('.plot a:has(title:text("flaky"))')
    assert flaky.locator("rect.is-failed, rect.wait, rect.is-completed").count() == 3
    expect(page.locator("li.depth-1", has_text="upload")).to_have_count(1)


def test_an_earlier_attempt_is_one_click_away(window, history):
    page = window().open(path(history.failed))
    page.locator(".timeline a", has_text="#1 on agent-5").first.click()
    expect(page).to_have_url(re.compile("attempt=1"))
    expect(page.locator("#tasks h2")).to_have_text("Tasks of attempt 1")


def test_the_log_hangs_on_the_timeline(window, history):
    page = window().open(path(history.failed))
    expect(page.locator("#lines li")).to_have_count(16)
    page.locator("#timeline .lanes a", has_text="optional_check").click()
    expect(page).to_have_url(re.compile(f"task={call_key('optional_check').hex()}"))
    expect(page.locator("#lines li")).to_have_count(2)
    page.locator("#log .chip").click()
    page.select_option("#log select", "ERROR")
    page.locator("#log button", has_text="Filter").click()
    expect(page.locator("#lines li")).to_have_count(1)


def test_a_line_has_an_address(window, history):
    page = window().open(f"{path(history.failed)}#L14")
    expect(page.locator("#L14")).to_have_attribute("data-target", "1")
    expect(page.locator("#L14")).to_be_in_viewport()


def test_ten_thousand_tasks_are_folded_and_say_so(window, history):
    visit = window()
    page = visit.open(path(history.big))
    expect(page.locator("#timeline")).to_contain_text("10,001 calls folded into 2 groups")
    expect(page.locator("#timeline")).to_contain_text("9,989 ✓ · 11 ✕")
    assert page.locator(".plot .mark").count() == 11
    assert visit.nodes() < 2000
    assert visit.bytes_sent() < 90_000
    page.locator("#tasks .tabs a", has_text="Failed").click()
    expect(page.locator("#tasks tbody tr")).to_have_count(11)


def test_hostile_names_are_only_words(window, history):
    visit = window()
    for where in (
        "/runs",
        path(history.hostile),
        "/deployments",
        "/deployments/hostile",
        "/search?q=img",
        "/events",
    ):
        page = visit.open(where)
        page.wait_for_load_state()
        assert page.evaluate("window.hacked") is None, where
        assert page.locator("img").count() == 0, where
    page = visit.open(path(history.hostile))
    expect(page.locator("h1")).to_have_text(HOSTILE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visit.console == []


# What pages cost --------------------------------------------------------------------------------

PAGES = [
    "/runs",
    "RUN",
    "/deployments",
    "/deployments/nightly-etl",
    "/agents",
    "/events",
    "/search?q=ni",
]


@pytest.mark.parametrize("where", PAGES)
def test_a_page_keeps_its_budget(window, history, where):
    visit = window()
    page = visit.open(path(history.failed) if where == "RUN" else where)
    page.wait_for_load_state("load")
    if page.evaluate("document.body.dataset.liveStream || ''"):
        visit.live()
    own = [each for each in visit.requests if "/ui/live" not in each.url]
    assert len(own) <= 6, [each.url for each in own]
    assert visit.bytes_sent() <= 90_000
    assert visit.nodes() <= 3500 if where == "RUN" else 1500
    assert visit.foreign == []
    assert visit.console == []
    shift = page.evaluate(
        """() => new Promise(done => { let sum = 0;
        new PerformanceObserver(list => { for (const e of list.getEntries()) sum += e.value; })
          .observe({type: 'layout-shift', buffered: true});
        requestAnimationFrame(() => requestAnimationFrame(() => done(sum))); })"""
    )
    assert shift < 0.02


def test_a_warm_page_asks_for_itself_alone(window, history):
    visit = window()
    visit.open("/runs").wait_for_load_state("load")
    page = visit.open("/runs")
    page.wait_for_load_state("load")
    fetched = page.evaluate(
        """performance.getEntries().filter(e => e.transferSize > 0 && !e.name.includes('/ui/live')).map(e => e.name)"""
    )
    assert len(fetched) <= 2, fetched


@pytest.mark.parametrize("where", PAGES)
def test_a_phone_never_scrolls_sideways(window, history, where):
    page = window(viewport=PHONE, has_touch=True).open(
        path(history.failed) if where == "RUN" else where
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_zoomed_to_200_percent_nothing_is_cut_off(window, history):
    page = window(viewport={"width": 720, "height": 450}, device_scale_factor=2).open(
        path(history.failed)
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


# Keys, themes -----------------------------------------------------------------------------------


def test_the_keyboard_reaches_everything(window, history):
    page = window().open("/runs")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    expect(page.locator("tbody tr a.main").first).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    expect(page.locator("tbody tr a.main").nth(1)).to_be_focused()
    wanted = page.locator("tbody tr a.main").nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(re.escape(wanted)))
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page).to_have_url(re.compile("/deployments$"))
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()


def test_keys_can_be_switched_off(window, history):
    page = window().open("/runs")
    page.keyboard.press("?")
    page.locator("#keys-off").check()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('tr')") is None


def test_the_palette_goes_anywhere(window, history):
    page = window().open("/agents")
    page.keyboard.press("Control+k")
    palette = page.locator("#palette")
    page.keyboard.type("wide")
    expect(palette.locator("a[data-picked]")).to_contain_text("wide-map")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/deployments/wide-map$"))
    page.keyboard.press("Control+k")
    page.keyboard.type(f"see run {history.failed.run} please")
    expect(palette.locator("a[data-picked]")).to_contain_text("nightly-etl")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(str(history.failed.run)))


def test_the_theme_follows_the_system_until_switched(window, history):
    page = window(color_scheme="dark").open("/runs")
    assert background(page) == "rgb(18, 21, 27)"
    page.locator("#theme").click()
    assert background(page) == "rgb(255, 255, 255)"
    page.reload()
    assert background(page) == "rgb(255, 255, 255)"
    page.locator("#theme").click()
    assert background(page) == "rgb(18, 21, 27)"
    assert page.evaluate("document.documentElement.dataset.theme ?? 'system'") == "system"


def background(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


# Without scripts --------------------------------------------------------------------------------


def test_everything_reads_and_acts_without_scripts(window, history, server):
    visit = window(java_script_enabled=False)
    page = visit.open("/runs")
    expect(page.locator(f'tr[data-key="{history.failed.run}"] time')).to_have_text(
        re.compile("ago")
    )
    page.fill("#filter", "flow:wide-map")
    page.locator(".filter button").click()
    expect(page.locator("tbody tr[data-key]")).to_have_count(1)
    page.locator("tbody a.main").click()
    expect(page.locator("h1")).to_have_text("wide-map")

    visit.open("/deployments/nightly-etl")
    page.select_option('select[name="p.region"]', "us")
    page.fill('input[name="p.days"]', "0")
    page.locator("main button.primary").click()
    expect(page.locator(".notice.bad")).to_contain_text("days")
    expect(page.locator('select[name="p.region"]')).to_have_value("us")
    page.fill('input[name="p.days"]', "3")
    page.locator("main button.primary").click()
    expect(page.locator(".notice")).to_contain_text("Run created at offset")
    expect(page.locator("#parameters")).to_contain_text('"region": "us"')
    page.locator("button", has_text="Cancel").click()
    expect(page.locator(".notice")).to_contain_text("Cancel accepted at offset")
    expect(page.locator(".badge")).to_have_text("Cancelled")
    page.locator("button", has_text="Run again").click()
    expect(page.locator(".badge")).to_have_text("Scheduled")
    page.locator("button", has_text="Cancel").click()
    expect(page.locator(".badge")).to_have_text("Cancelled")


def test_no_page_links_to_nowhere(window, history):
    visit = window(java_script_enabled=False)
    seen, todo = set(), ["/runs"]
    while todo and len(seen) < 40:
        where = todo.pop()
        seen.add(where)
        answer = visit.page.goto(visit.server.url + where)
        assert answer.status == 200, where
        links = visit.page.eval_on_selector_all(
            "a[href^='/']", "all => all.map(a => a.getAttribute('href'))"
        )
        for link in links:
            plain = link.partition("#")[0]
            kind = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+:\d+|=[^&]*", "…", plain)
            if kind not in seen:
                seen.add(kind)
                todo.append(plain)
