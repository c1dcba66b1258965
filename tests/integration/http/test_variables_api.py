"""Variables over HTTP: set, listed, changed by whoever has read the last version, unset; everything wrong is said at once."""

import asyncio
import json

import pytest

from support.http_server import Api

pytestmark = pytest.mark.postgres


async def put(api: Api, name: str = "batch-size", value: object = 100, **more):
    return await api.one.client.post("/variables", json={"name": name, "value": value, **more})


async def test_a_variable_is_set_shown_and_unset(api: Api) -> None:
    made = await put(api, value={"rows": [1, None, 2.5, "é"]}, tags=["b", "a", "b"])
    assert made.status_code == 200
    shown = made.json()
    assert (shown["value"], shown["tags"]) == ({"rows": [1, None, 2.5, "é"]}, ["a", "b"])
    assert (await api.one.client.get("/variables/batch-size")).json() == shown
    assert made.headers["Headway-Cursor"]
    gone = await api.one.client.delete("/variables/batch-size")
    assert gone.status_code == 204
    missing = await api.one.client.get("/variables/batch-size")
    assert missing.status_code == 404
    assert "headway variables ls" in missing.json()["hint"]
    assert (await api.one.client.delete("/variables/batch-size")).status_code == 404


async def test_setting_the_same_again_changes_nothing(api: Api) -> None:
    first = (await put(api, tags=["a"])).json()
    again = (await put(api, tags=["a"])).json()
    assert again == first
    assert (await put(api, value=101, tags=["a"])).json()["version"] > first["version"]


async def test_of_two_who_read_the_same_version_one_is_told_to_read_again(api: Api) -> None:
    version = (await put(api)).json()["version"]
    answers = await asyncio.gather(*(put(api, value=n, if_version=version) for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    told = refused.json()
    assert "`headway variables get batch-size --output json`" in told["detail"]
    assert told["hint"] == ""  # nothing general behind what names the command
    assert (await put(api, "fresh", if_version=0)).status_code == 200
    assert (await put(api, "fresh", 1, if_version=0)).status_code == 409
    stale = await api.one.client.delete("/variables/batch-size", params={"if_version": version})
    assert stale.status_code == 409


async def test_lists_are_paged_by_name_and_filtered(api: Api) -> None:
    for n in range(7):
        await put(api, f"v{n}", n, tags=["even"] if n % 2 == 0 else [])
    names, cursor = [], None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await api.one.client.get("/variables", params=query)).json()
        names += [item["name"] for item in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert names == [f"v{n}" for n in range(7)]
    even = (await api.one.client.get("/variables", params={"tag": "even"})).json()
    assert [item["value"] for item in even["items"]] == [0, 2, 4, 6]
    begins = (await api.one.client.get("/variables", params={"prefix": "v6"})).json()
    assert [item["name"] for item in begins["items"]] == ["v6"]
    assert (await api.one.client.get("/variables", params={"cursor": "x"})).status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"name": "a b", "value": 1}, 422, "name"),
        ({"name": "", "value": 1}, 422, "name"),
        ({"name": "a"}, 422, "value"),
        ({"name": "a", "value": 1, "tags": [""]}, 422, "tags[0]"),
        ({"name": "a", "value": "\x00"}, 422, "NUL"),
        ({"name": "a", "value": 1, "if_version": -1}, 422, "if_version"),
        ({"name": "a", "value": "x" * 65_536}, 413, "65,536"),
    ],
)
async def test_what_cannot_be_a_variable_is_refused(
    api: Api, body: dict, status: int, told: str
) -> None:
    answer = await api.one.client.post("/variables", json=body)
    assert (answer.status_code, told in json.dumps(answer.json(), ensure_ascii=False)) == (
        status,
        True,
    ), answer.text


async def test_all_together_hold_at_most_a_mebibyte(api: Api) -> None:
    large = "x" * 65_000
    codes = [(await put(api, f"large-{n}", large)).status_code for n in range(17)]
    assert codes == [200] * 16 + [422]
    assert (await put(api, "large-0", "y" * 65_000)).status_code == 200
    assert (await put(api, "small", 1)).status_code == 200


async def test_its_changes_stand_in_the_log_and_values_only_as_digests(api: Api) -> None:
    await put(api, "region", "a-word-to-erase")
    await api.one.client.delete("/variables/region")
    events = (await api.one.client.get("/events")).json()["items"]
    of_it = [event for event in events if event["type"].startswith("Variable")]
    assert {event["type"] for event in of_it} == {"VariableSet", "VariableUnset"}
    assert "a-word-to-erase" not in json.dumps(of_it)


async def test_the_history_tells_who_changed_it_also_of_one_that_is_gone(api: Api) -> None:
    await put(api, value=[1])
    await put(api, name="other")
    await put(api, value=2, tags=["a"])
    await api.one.client.delete("/variables/batch-size")
    history = await api.one.client.get("/variables/batch-size/history")
    items = history.json()["items"]
    assert [(item["kind"], item["value"], item["tags"]) for item in items] == [
        ("unset", None, []),
        ("set", 2, ["a"]),
        ("set", [1], []),
    ]
    assert all(item["actor"] and not item["erased"] and not item["reason"] for item in items)
    newest = await api.one.client.get("/variables/batch-size/history", params={"limit": 1})
    assert newest.json()["items"] == items[:1]
    assert (await api.one.client.get("/variables/never/history")).status_code == 404
