"""What a suspended run has under way: paused on its page, in its list, its filters, the API and the command, and nowhere failed."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest
from playwright.sync_api import expect

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.domain.commands import CancelRun
from support.command_line import CommandLine
from support.ui_world import call_key

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

FLOW = facts.CALL_KIND_FLOW


@pytest.fixture(scope="module")
def history(server):
    made = SimpleNamespace()
    world = server.world
    begun = datetime.now(UTC) - timedelta(minutes=9)

    async def fill():
        await world.enrol()
        await world.deploy("approval", retries=0)
        for name in ("waits", "ends", "crashes"):
            script = await world.start("approval", name=name, begun=begun)
            script.call("load", 1, 4)
            outer = script.call("publish", 5, None, kind=FLOW)
            script.call("ask", 6, None, parent=outer)
            if name == "crashes":
                script.end(20, "crashed", cause="exit", exit_code=137)
            else:
                script.suspend(20)
            await script.send()
            setattr(made, name, script.run)
        await world.execute(CancelRun(made.ends, ""))

    server.past("-10 minutes", fill)
    server.settle()
    return made


def test_the_page_says_that_they_wait_and_none_stands_under_failed(history, window):
    visit = window()
    page = visit.open(f"/runs/{history.waits}")
    expect(page.locator("#tasks .tabs")).to_have_text("All 3Paused 2Completed 1Sub-flows")
    rows = page.locator("#tasks tbody tr")
    expect(rows.filter(has_text="ask")).to_contain_text("Paused")
    expect(rows.filter(has_text="ask")).to_contain_text("suspended with its run")
    expect(page.locator("#timeline .lanes").first).not_to_contain_text("interrupted")
    assert page.locator("#timeline rect.bar.is-paused").count() == 3  # with that of the attempt
    assert page.locator("#timeline rect.is-interrupted").count() == 0
    page.locator("#tasks .tabs").get_by_role("link", name="Paused").click()
    expect(page.locator("#tasks tbody tr")).to_have_count(2)
    page.goto(f"{visit.server.url}/runs/{history.waits}?status=failed")
    expect(page.locator("#tasks tbody tr")).to_have_count(0)
    page.goto(f"{visit.server.url}/runs/{history.waits}/flows/{call_key('publish').hex()}")
    expect(page.locator("#head .badge")).to_have_text("Paused")
    expect(page.locator("#answer")).to_contain_text("waits with its run")
    expect(page.locator("#tasks tbody tr")).to_contain_text("Paused")
    assert visit.console == []


def test_what_a_dead_process_left_is_interrupted_and_apart_from_what_failed(history, window):
    page = window().open(f"/runs/{history.crashes}")
    expect(page.locator("#tasks .tabs")).to_have_text("All 3Interrupted 2Completed 1Sub-flows")
    expect(page.locator("#tasks tbody tr").filter(has_text="ask")).to_contain_text("Interrupted")


def test_what_waited_with_a_cancelled_run_is_cancelled(history, window):
    page = window().open(f"/runs/{history.ends}")
    expect(page.locator("#tasks .tabs")).to_have_text("All 3Completed 1Cancelled 2Sub-flows")


def test_the_api_says_the_same(history, server):
    headers = {"Authorization": f"Bearer {server.token}"}
    url = f"{server.url}/api/v1/runs/{history.waits}"
    with httpx.Client(headers=headers, trust_env=False, timeout=20) as api:
        sums = api.get(url).json()["tasks"]
        assert (sums["paused"], sums["interrupted"], sums["completed"], sums["total"]) == (2, 0, 1, 3)  # fmt: skip
        tasks = api.get(f"{url}/tasks", params={"status": "paused"}).json()
        assert [(each["name"], each["status"], each["ended_at"]) for each in tasks["items"]] == [
            ("publish", "paused", None),
            ("ask", "paused", None),
        ]
        flows = api.get(f"{url}/flows").json()
        assert [each["status"] for each in flows["items"]] == ["paused"]
        assert flows["counts"]["paused"] == 1
        assert api.get(f"{url}/flows", params={"status": "interrupted"}).json()["items"] == []
        one = api.get(f"{url}/flows/{call_key('publish').hex()}").json()
        assert (one["status"], one["ended_at"], one["duration_us"]) == ("paused", None, None)
        assert one["tasks"]["paused"] == 1
        listed = api.get(f"{server.url}/api/v1/runs", params={"subflows": "true"}).json()["items"]
        [beside] = [
            each
            for each in listed
            if each["kind"] == "flow" and each["run"]["id"] == str(history.waits)
        ]
        assert beside["status"] == "paused"
        refused = api.get(f"{url}/tasks", params={"status": "suspended"})
        assert refused.status_code == 422
        assert "paused" in refused.text


def test_the_command_says_the_same(history, server, tmp_path):
    headway = CommandLine(server.url, server.token, tmp_path)
    run = str(history.waits)

    def told(*words: str) -> str:
        done = server.call(lambda: headway("runs", *words))
        assert done.code == 0, done.err
        return done.out

    assert "paused" in told("flows", run)
    paused = told("tasks", run, "--state", "paused")
    assert "ask" in paused
    assert "load" not in paused
    assert "paused" in told("show", run, "--flow", call_key("publish").hex()[:8])
    crashed = told("flows", str(history.crashes), "--state", "interrupted")
    assert "publish" in crashed
