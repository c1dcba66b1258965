"""Pages of artifacts and metrics in a real browser: what they show, that nothing of a run's words acts, and the progress that moves."""

import base64
import hashlib
import json
from types import SimpleNamespace

import psycopg
import pytest
from playwright.sync_api import expect

from headway_api.event.v1 import attempt_pb2 as facts
from support.browser import PHONE
from support.output_facts import Told, artifact, key_of, points, progress, table

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HOSTILE = """# Title <script>window.hacked=1</script>

<img src=x onerror="window.hacked=1"> **bold** [bad](javascript:window.hacked=1) [good](https://good.example/)

![picture](https://tracker.example/p.png) [data](data:text/html,<script>window.hacked=1</script>)

| a | b |
|---|---|
| 1 | <b>2</b> |
"""


def tell(script, *told: Told) -> None:
    for one in told:
        message = getattr(facts, one.fact.type).FromString(one.fact.payload)
        script.add(1.0, message)
        script.blobs += one.blobs


def of_url(url: str, text: str = "", *, kind: str = "link") -> Told:
    content = json.dumps({"url": url, "text": text}).encode()
    return artifact(kind, content, key="", media_type="application/json")


@pytest.fixture(scope="module")
def left(server):
    made = SimpleNamespace()

    async def fill():
        world = server.world
        await world.enrol()
        await world.deploy("nightly-etl", retries=0)
        for n in range(3):
            script = await world.start("nightly-etl")
            tell(script, artifact(content=f"# Report {n}".encode(), description=f"day {n}"))
            await script.end(2, "completed").send()
        made.run = script = await world.start("nightly-etl")
        tell(
            script,
            artifact(content=HOSTILE.encode(), key="", number=1),
            table(["region", "<i>rows</i>"], [["eu", n] for n in range(1000)], key="by-region"),
            artifact("image", PNG, key="plot", media_type="image/png", description="A plot"),
            of_url("https://bi.example/", "Dashboard"),
            of_url("javascript:window.hacked=1", "Bad"),
            of_url("https://tracker.example/i.png", kind="image"),
            artifact(key="secret-report", withheld=True),
            progress(25, key="load", description="files"),
            points("loss", [1 / (n + 1) for n in range(300)], steps=range(300)),
            points("rows", [7], unit="rows"),
            points("extreme", [-1.7e308, 1.7e308, 0], recorded=9),
        )
        await script.send()

    server.call(fill)
    server.settle()
    return made


def test_the_list_has_the_newest_of_each_key(window, left):
    page = window().open("/artifacts")
    rows = page.locator("tbody tr[data-key]")
    assert [row.get_attribute("data-key") for row in rows.all()] == [
        "by-region", "load", "plot", "report", "secret-report",
    ]  # fmt: skip
    expect(page.locator('tr[data-key="report"]')).to_contain_text("day 2")
    page.locator(".tabs a", has_text="Tables").click()
    expect(rows).to_have_count(1)
    page.goto(page.url.split("?")[0] + "?q=secret")
    expect(rows).to_have_count(1)


def test_a_key_has_its_versions(window, left):
    page = window().open("/artifacts/report")
    expect(page.locator(".prose h1")).to_have_text("Report 2")
    expect(page.locator("#versions tbody tr")).to_have_count(3)
    page.locator("#versions a.main", has_text="1").click()
    expect(page.locator(".prose h1")).to_have_text("Report 0")
    expect(page.locator(".title")).to_contain_text("version 1")
    page.get_by_text("newest version").click()
    expect(page.locator(".prose h1")).to_have_text("Report 2")
    assert window().open("/artifacts/unknown").locator("h1").inner_text() == "Not here"


def test_nothing_of_a_runs_words_acts(window, left):
    visit = window()
    page = visit.open(f"/runs/{left.run.run}")
    prose = page.locator(".prose").first
    expect(prose.locator("strong")).to_have_text("bold")
    expect(prose.locator("td").last).to_have_text("<b>2</b>")
    hrefs = [a.get_attribute("href") for a in page.locator("#artifacts a").all()]
    assert not [href for href in hrefs if href.startswith(("javascript", "data"))]
    assert "https://good.example/" in hrefs
    assert page.locator("#artifacts img").count() == 1
    assert page.evaluate("window.hacked") is None
    assert visit.foreign == []


def test_the_run_shows_what_it_saved(window, left):
    page = window().open(f"/runs/{left.run.run}")
    saved = page.locator("#artifacts")
    expect(saved.locator(".sheet th").last).to_have_text("<i>rows</i>")
    expect(saved.locator(".sheet tbody tr")).to_have_count(200)
    expect(saved).to_contain_text("800 more rows")
    expect(saved).to_contain_text("Withheld by the pool")
    expect(saved.get_by_alt_text("A plot")).to_be_visible()
    page.wait_for_function("document.querySelector('img.shot').naturalWidth === 1")
    charts = page.locator("#metrics figure")
    expect(charts).to_have_count(3)
    expect(charts.nth(1).locator("svg")).to_have_attribute(
        "aria-label", "loss: 0.003333 , between 0.003333 and 1"
    )
    expect(charts.first).to_contain_text("9 recorded, the 3 that tell most are kept")


def test_a_progress_moves_while_one_looks(window, server, left):
    visit = window()
    page = visit.open(f"/runs/{left.run.run}")
    visit.live()
    bar = page.locator("#artifacts progress")
    expect(bar).to_have_attribute("value", "25.0")

    async def move():
        tell(left.run, progress(75, key="load"))
        await left.run.send()

    server.call(move)
    expect(bar).to_have_attribute("value", "75.0", timeout=20_000)


def test_an_image_opened_by_itself_runs_nothing(window, left):
    page = window().open("/artifacts/plot")
    answer = page.request.get(
        page.url.split("/artifacts")[0] + page.locator("img.shot").get_attribute("src")
    )
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-type"] == "image/png"
    address = page.url.split("/artifacts")[0] + f"/ui/runs/{left.run.run}/artifacts/"
    assert page.request.get(address + key_of("none").hex()).status == 404
    assert page.request.get(address + "nonsense").status == 404


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(window, left, scheme):
    for path in ("/artifacts", "/artifacts/by-region", f"/runs/{left.run.run}"):
        page = window(viewport=PHONE, color_scheme=scheme).open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_erased_content_is_said_to_be(window, server, left):
    page = window().open("/artifacts/report?version=1")
    expect(page.locator(".prose")).to_be_visible()
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        digest = hashlib.sha256(b"# Report 0").digest()
        assert connection.execute(
            "DELETE FROM headway.payload WHERE digest = %s", [digest]
        ).rowcount
    page.reload()
    expect(page.locator("#shown")).to_contain_text("The content was erased.")
