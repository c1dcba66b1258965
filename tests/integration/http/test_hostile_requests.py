"""Requests that are right in form and meant to hurt: refused with a reason, and nothing of the workspace suffers."""

import pytest

from support.http_server import Api

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    "due_at",
    [
        "9999-12-31T23:59:59-14:00",  # in UTC it is the year 10000, which Python cannot read back
        "0001-01-01T00:00:00+14:00",
        "1969-12-31T23:59:59Z",
    ],
)
async def test_an_instant_outside_of_the_calendar_is_refused(api: Api, due_at: str) -> None:
    await api.one.deploy()
    body = {"deployment": "nightly", "parameters": {"region": "eu"}, "due_at": due_at}

    refused = await api.one.client.post("/runs", json=body)

    assert refused.status_code == 422
    assert [error["path"] for error in refused.json()["errors"]] == ["due_at"]
    assert (await api.one.client.get("/runs")).json()["items"] == []


async def test_the_farthest_instant_that_is_accepted_can_be_read_again(api: Api) -> None:
    await api.one.deploy()
    run = await api.one.create_run(due_at="9998-12-31T23:59:59-00:00")
    listed = await api.one.client.get("/runs")
    assert [item["id"] for item in listed.json()["items"]] == [run["id"]]


async def test_an_origin_that_is_none_is_refused_like_a_foreign_one(api: Api) -> None:
    answer = await api.one.client.get("/runs", headers={"Origin": "http://["})
    assert answer.status_code == 403
    assert answer.json()["code"] == "cross_origin"


async def test_a_schema_that_refers_to_itself_without_end_accepts_no_run(api: Api) -> None:
    await api.one.deploy("endless", parameter_schema={"$ref": "#"}, defaults={})
    answer = await api.one.client.post("/runs", json={"deployment": "endless"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_parameters"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/runs", {"deployment": "\0"}, "deployment"),
        (
            "/runs",
            {"deployment": "nightly", "parameters": {"region": "eu"}, "tags": ["a\0"]},
            "tags",
        ),
        ("/pools", {"name": "\0"}, "name"),
        ("/enrolment-tokens", {"pool": "lo\0cal"}, "pool"),
        ("/api-keys", {"name": "\0"}, "name"),
    ],
)
async def test_a_nul_in_a_request_is_named(api: Api, path: str, body: dict, field: str) -> None:
    """The database can't even compare with it."""
    await api.one.deploy()
    refused = await api.one.client.post(path, json=body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"].startswith(field)


@pytest.mark.parametrize("path", ["/deployments/%00", "/pools/a%00", "/agents/%00", "/%00"])
async def test_nothing_has_a_name_with_a_nul(api: Api, path: str) -> None:
    answer = await api.one.client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]


@pytest.mark.parametrize("depth", [900, 10_000, 100_000])
async def test_json_nested_without_end_is_refused(api: Api, depth: int) -> None:
    await api.one.deploy()
    value = "[" * depth + "1" + "]" * depth
    text = f'{{"deployment": "nightly", "parameters": {{"region": {value}}}}}'
    headers = {"Content-Type": "application/json"}
    answer = await api.one.client.post("/runs", content=text, headers=headers)
    assert answer.status_code in {400, 413, 422}, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"
