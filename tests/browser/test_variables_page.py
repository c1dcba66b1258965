"""The page of variables: empty, set from the form, changed by two at once, unset, its history, and a thousand of them on a phone."""

import json
from uuid import UUID

import pytest
from playwright.sync_api import expect

from headway_control_plane.application.variables import set_variable
from headway_control_plane.domain.streams import Blob
from headway_control_plane.domain.variables.commands import WriteVariable

pytestmark = [pytest.mark.postgres, pytest.mark.browser, pytest.mark.timeout(240)]

PHONE = {"width": 390, "height": 844}


def put(server, name: str, value: object, **more) -> None:
    server.call(
        lambda: set_variable(server.world.log, server.world.ws, actor="key/ci", name=name, value=value, **more)
    )  # fmt: skip


def test_a_variable_is_set_changed_and_unset_with_its_history(window, server, tmp_path) -> None:
    visit = window()
    page = visit.open("/variables")
    expect(page.get_by_text("There is no variable yet")).to_be_visible()
    page.locator("[name=name]").last.fill("batch-size")
    page.locator("textarea[name=value]").fill('{"rows": 100}')
    page.locator("[name=tags]").fill("etl night")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator("table.variables tbody tr")).to_have_count(1)
    expect(page.locator("table.variables")).to_contain_text('{"rows": 100}')
    page.get_by_role("link", name="batch-size").click()
    expect(page.locator("textarea[name=value]")).to_have_value('{\n  "rows": 100\n}')
    put(server, "batch-size", 7)
    page.locator("textarea[name=value]").fill("8")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Read it again")
    expect(page.locator("textarea[name=value]")).to_have_value("8")
    page = visit.open("/variables?name=batch-size")
    expect(page.locator("table.changes tbody tr")).to_have_count(2)
    expect(page.locator("table.changes tbody tr").first).to_contain_text("key/ci")
    page.get_by_role("button", name="Unset batch-size").click()
    expect(page.get_by_text("There is no variable yet")).to_be_visible()
    expect(page.locator("table.changes tbody tr").first).to_contain_text("unset")


def test_what_a_run_wrote_leads_to_the_run_and_a_refusal_says_why(window, server, tmp_path) -> None:
    run = UUID("019be000-0000-7000-8000-000000000001")
    put(server, "kept", 1, tags=["protected"])
    for name, value in (("made", {"rows": [1, 2]}), ("kept", 2)):
        write = WriteVariable(run, name, Blob.of(json.dumps(value).encode()), 8)
        server.call(
            lambda write=write: server.world.log.execute(server.world.ws, write, actor=write.actor)
        )
    for theme in ("light", "dark"):
        visit = window(color_scheme=theme)
        page = visit.open("/variables")
        changes = page.locator("table.changes tbody tr")
        expect(changes.first).to_contain_text("refused: It has the tag 'protected'")
        link = changes.nth(1).get_by_role("link", name=f"run/{run}")
        expect(link).to_have_attribute("href", f"/runs/{run}")
        page.screenshot(path=str(tmp_path / f"{theme}.png"), full_page=True)


def test_what_cannot_be_one_is_said_and_nothing_is_lost(window) -> None:
    page = window().open("/variables")
    page.locator("[name=name]").last.fill("a b")
    page.locator("textarea[name=value]").fill("just words")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("letters, digits")
    expect(page.locator("textarea[name=value]")).to_have_value("just words")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_many_of_them_fit_a_phone(window, server, tmp_path, scheme) -> None:
    put(server, "note", "<script>alert(1)</script>" * 40)
    for n in range(120):
        put(server, f"variable-with-quite-a-long-name-{n:03}", {"n": n}, tags=["a", "b"])
    for options in ({"viewport": PHONE}, {}):
        visit = window(color_scheme=scheme, **options)
        page = visit.open("/variables")
        expect(page.locator("table.variables tbody tr")).to_have_count(100)
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        page.screenshot(path=tmp_path / f"{scheme}-{len(options)}.png")
        assert wide <= 0
        page.get_by_role("link", name="More").click()
        # Others' variables are on the same server.
        expect(page.locator("table.variables tbody tr").nth(20)).to_be_visible()
        assert visit.console == []
