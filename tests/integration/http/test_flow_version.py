"""The flow's own version: with its deployment, and with each run as it was made."""

import pytest

pytestmark = pytest.mark.postgres


async def test_a_run_keeps_the_version_that_it_was_made_with(api):
    unsaid = await api.one.deploy()
    assert unsaid["flow_version"] == ""
    first = await api.one.create_run()
    assert (await run(api, first))["flow_version"] == ""
    assert (await api.one.deploy(flow_version="2026.11 β"))["changed"]
    again = await api.one.deploy(flow_version="2026.11 β")
    assert (again["changed"], again["flow_version"]) == (False, "2026.11 β")
    second = await api.one.create_run()
    assert second["flow_version"] == "2026.11 β"
    await api.one.deploy(flow_version="2026.12")
    shown = (await api.one.client.get("/deployments")).json()["items"]
    assert [each["flow_version"] for each in shown] == ["2026.12"]
    said = [(await run(api, made))["flow_version"] for made in (first, second)]
    assert said == ["", "2026.11 β"]


@pytest.mark.parametrize("version", ["a\nb", "x" * 1000, 7])
async def test_what_is_no_version_is_refused_with_the_field(api, version):
    whole = {"name": "bad", "flow": "f", "pool": "local", "entrypoint": "m:f"}
    answer = await api.one.client.post("/deployments", json=whole | {"flow_version": version})
    assert answer.status_code in {400, 422}, answer.text
    assert "flow_version" in answer.text


async def run(api, made: dict) -> dict:
    return (await api.one.client.get(f"/runs/{made['id']}")).json()
