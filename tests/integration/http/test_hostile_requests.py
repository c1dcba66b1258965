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
