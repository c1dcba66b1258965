"""Runs over HTTP: created, listed, shown, cancelled; everything wrong with a request is said at once."""

import pytest
from support.http_server import Api

pytestmark = pytest.mark.postgres


async def test_a_run_is_created_with_the_defaults_merged(api: Api) -> None:
    await api.one.deploy()

    answer = await api.one.client.post(
        "/runs",
        json={"deployment": "nightly", "parameters": {"region": "eu"}, "tags": ["a", "a", "b"]},
    )

    assert answer.status_code == 201
    run = answer.json()
    assert run["state"] == "scheduled"
    assert run["parameters"] == {"limit": 10, "region": "eu"}
    assert run["tags"] == ["a", "b"]
    assert run["name"].startswith("run-")
    assert run["deployment"]["name"] == "nightly"
    assert run["reason"] == "ready"
    assert run["created_at"].endswith("Z")
    assert len(run["created_at"]) == len("2026-11-22T08:00:00.000000Z")
    assert answer.headers["Headway-Cursor"] == run["cursor"]
    shown = await api.one.client.get(f"/runs/{run['id']}", params={"min_offset": run["cursor"]})
    assert shown.json() == run
