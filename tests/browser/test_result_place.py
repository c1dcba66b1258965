"""Where a result lies, on the run's page: the whole reference, also on a phone."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from headway_api.event.v1 import attempt_pb2 as facts
from support.browser import PHONE

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

DIGEST = "5e" * 32
REFERENCE = f"s3://analytics-results-of-the-warehouse/headway/production/5e/{DIGEST}"


@pytest.fixture(scope="module")
def run_id(server) -> str:
    world = server.world
    made = []

    async def tell():
        await world.enrol()
        await world.deploy("frames")
        script = await world.start("frames", begun=datetime.now(UTC) - timedelta(minutes=1))
        script.call("load", 0.1, 2.0)
        result = facts.Result(
            codec="pandas.value",
            size_bytes=48_000_000,
            digest=bytes.fromhex(DIGEST),
            reference=REFERENCE,
        )
        await script.end(2.5, "completed", result=result).send()
        made.append(str(script.run))

    server.past("-1 minute", tell)
    server.settle()
    return made[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True])
def test_the_reference_is_whole_and_fits(window, run_id: str, phone: bool, scheme: str, tmp_path):
    options = {"viewport": PHONE} if phone else {}
    page = window(color_scheme=scheme, **options).open(f"/runs/{run_id}")
    section = page.locator("#result")
    expect(section).to_contain_text("pandas.value")
    expect(section).to_contain_text(REFERENCE)
    assert page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    ), "nothing sticks out"
    section.screenshot(path=tmp_path / "result.png")
