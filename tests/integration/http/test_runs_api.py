"""Runs over HTTP: created, listed, shown, cancelled; everything wrong with a request is said at once."""

from dataclasses import dataclass, replace

import pytest
from starlette.requests import Request

from support.http_server import SCHEMA, Api, enrol

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
    assert run["tags"] == ["etl", "a", "b"]  # the deployment's first
    assert run["name"].startswith("run-")
    assert run["deployment"]["name"] == "nightly"
    assert run["reason"] == "ready"
    assert run["created_at"].endswith("Z")
    assert len(run["created_at"]) == len("2026-11-22T08:00:00.000000Z")
    assert answer.headers["Headway-Cursor"] == run["cursor"]
    shown = await api.one.client.get(f"/runs/{run['id']}", params={"min_offset": run["cursor"]})
    assert shown.json() == run


async def test_all_problems_of_the_parameters_are_said_at_once(api: Api) -> None:
    await api.one.deploy()

    answer = await api.one.client.post(
        "/runs", json={"deployment": "nightly", "parameters": {"limit": 0, "colour": "red"}}
    )

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "invalid_parameters"
    assert {error["path"] for error in problem["errors"]} == {
        "parameters.limit",
        "parameters.colour",
        "parameters.region",
    }
    assert "headway deployments show nightly" in problem["hint"]
    assert (await api.one.client.get("/runs")).json()["items"] == []


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (r'{"region": "a\u0000b"}', "parameters.region"),
        (r'{"region": "\ud800"}', "parameters.region"),
        (r'{"region": ["x", {"y": "\u0000"}]}', "parameters.region[1].y"),
        ('{"region": "x", "limit": NaN}', "parameters.limit"),
        ('{"region": "x", "limit": Infinity}', "parameters.limit"),
        ('{"region": ' + "[" * 150 + "]" * 150 + "}", "parameters.region" + "[0]" * 100),
    ],
)
async def test_what_cannot_be_stored_is_refused_with_its_place(
    api: Api, raw: str, path: str
) -> None:
    await api.one.deploy()
    body = f'{{"deployment": "nightly", "parameters": {raw}}}'
    answer = await api.one.client.post(
        "/runs", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422, answer.text
    assert path in [error["path"] for error in answer.json()["errors"]]


async def test_parameters_over_the_limit_are_refused(api: Api) -> None:
    await api.one.deploy()
    answer = await api.one.client.post(
        "/runs", json={"deployment": "nightly", "parameters": {"region": "x" * 300_000}}
    )
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


async def test_a_body_over_the_limit_is_refused_before_it_is_read(api: Api) -> None:
    async def endless():
        for _ in range(100):
            yield b"x" * 100_000

    declared = await api.one.client.post("/runs", content=b"x" * 2_000_000)
    chunked = await api.one.client.post("/runs", content=endless())
    assert [declared.status_code, chunked.status_code] == [413, 413]
    assert chunked.json()["code"] == "too_large"


async def test_the_same_idempotency_key_gives_the_same_run(api: Api) -> None:
    await api.one.deploy()
    body = {"deployment": "nightly", "parameters": {"region": "eu"}}
    key = {"Idempotency-Key": "monday"}

    first = await api.one.client.post("/runs", json=body, headers=key)
    again = await api.one.client.post("/runs", json=body, headers=key)
    other = await api.one.client.post("/runs", json=body | {"priority": 1}, headers=key)

    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 422]
    assert first.json()["id"] == again.json()["id"]
    assert other.json()["code"] == "idempotency_conflict"
    assert len((await api.one.client.get("/runs")).json()["items"]) == 1


async def test_a_waiting_run_is_cancelled_at_once_and_only_once(api: Api) -> None:
    await api.one.deploy()
    run = await api.one.create_run()

    cancelled = await api.one.client.post(f"/runs/{run['id']}/cancel", json={"reason": "typo"})
    again = await api.one.client.post(f"/runs/{run['id']}/cancel")
    released = await api.one.client.post(f"/runs/{run['id']}/release")

    assert cancelled.status_code == 202
    assert cancelled.json()["state"] == "cancelled"
    assert cancelled.json()["reason"] == "never started"
    assert [again.status_code, released.status_code] == [409, 409]
    assert again.json()["code"] == "invalid_state"


async def test_an_unchanged_deployment_appends_nothing(api: Api) -> None:
    first = await api.one.deploy()
    again = await api.one.deploy()
    changed = await api.one.deploy(retries=3)

    assert (first["created"], first["changed"]) == (True, True)
    assert (again["created"], again["changed"], again["cursor"]) == (False, False, first["cursor"])
    assert (changed["changed"], changed["version"], changed["id"]) == (True, 2, first["id"])


async def test_a_schema_that_points_outside_is_refused(api: Api) -> None:
    answer = await api.one.client.post(
        "/deployments",
        json={
            "name": "x",
            "flow": "f",
            "pool": "local",
            "entrypoint": "a:b",
            "parameter_schema": {
                "properties": {"a": {"$ref": "http://127.0.0.1/x"}, "b": {"$ref": "#/$defs/b"}}
            },
        },
    )
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 2


@pytest.mark.parametrize("cursor", ["x", "....", "bnVsbA", "WyJmIiwieCJd", "W10", "🦊", "A" * 400])
async def test_a_bad_page_cursor_is_a_400_with_the_next_step(api: Api, cursor: str) -> None:
    for path in ("/runs", "/agents"):
        answer = await api.one.client.get(path, params={"cursor": cursor})
        assert answer.status_code == 400, (path, answer.text)
        assert answer.json()["code"] == "bad_cursor"
        assert answer.json()["hint"]


async def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    issued = (await api.one.client.post("/api-keys", json={"name": "ci"})).json()
    async with api.new_client(headers={"Authorization": f"Bearer {issued['key']}"}) as client:
        assert (await client.get("/whoami")).json()["workspace"]["name"] == "one"
        assert (await api.one.client.delete(f"/api-keys/{issued['id']}")).status_code == 204
        assert (await client.get("/whoami")).status_code == 401
    stored = str((await api.one.client.get("/api-keys")).json())
    assert issued["key"] not in stored
    assert issued["key"].rpartition("_")[2] not in stored


async def test_requests_under_another_name_or_from_another_site_are_refused(api: Api) -> None:
    rebound = await api.one.client.get("/whoami", headers={"Host": "evil.example"})
    foreign = await api.one.client.get("/whoami", headers={"Origin": "https://evil.example"})
    own = await api.one.client.get("/whoami", headers={"Origin": api.url})
    assert [rebound.status_code, foreign.status_code, own.status_code] == [421, 403, 200]
    for answer in (rebound, foreign, own):
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert answer.headers["x-request-id"]


async def test_the_docs_need_no_other_host(api: Api) -> None:
    async with api.new_client() as client:
        document = (await client.get("/openapi.json")).json()
        page = await client.get("/docs")
        script = await client.get("/docs/static/swagger-ui-bundle.js")
    assert document["openapi"].startswith("3.1")
    assert page.status_code == script.status_code == 200
    assert "http" not in page.text.replace("<!doctype html>", "")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert "application/problem+json" in answer["content"], (method, path, status)


@dataclass
class OneVisitor:
    """A browser session, as the UI keeps it: a cookie that stands for a person in a workspace."""

    ws: int
    actor: str = "person/ada"

    async def viewer(self, request: Request) -> "OneVisitor | None":
        return self if request.cookies.get("session") == "ada" else None


async def test_a_session_cookie_acts_for_our_own_pages_alone(api: Api) -> None:
    await api.one.deploy()
    run = await api.one.create_run()
    api.app.state.services = replace(api.services, sessions=OneVisitor(api.one.ws))
    path = f"/runs/{run['id']}/cancel"
    async with api.new_client(cookies={"session": "ada"}) as browser:
        read = await browser.get(f"/runs/{run['id']}")
        bare = await browser.post(path)
        foreign = await browser.post(path, headers={"Origin": "https://evil.example"})
        own = await browser.post(path, headers={"Origin": api.url})
    async with api.new_client(cookies={"session": "eve"}) as stranger:
        refused = await stranger.get(f"/runs/{run['id']}")
    statuses = [answer.status_code for answer in (read, bare, foreign, own, refused)]
    assert statuses == [200, 403, 403, 202, 401]
    events = (await api.one.client.get(f"/runs/{run['id']}/events")).json()["items"]
    assert events[-1]["actor"] == "person/ada"


async def test_a_deployment_that_changed_is_checked_as_it_is_now(api: Api) -> None:
    """The control plane remembers deployments; what it remembers neither refuses nor lets anything pass wrongly."""
    await api.one.deploy()
    run = {"deployment": "nightly", "parameters": {"region": "eu", "colour": "red"}}
    assert (await api.one.client.post("/runs", json=run)).status_code == 422

    colourful = {"properties": SCHEMA["properties"] | {"colour": {"type": "string"}}}
    await api.one.deploy(parameter_schema=SCHEMA | colourful)
    accepted = await api.one.client.post("/runs", json=run)
    assert accepted.status_code == 201, accepted.text

    await api.one.deploy()
    assert (await api.one.client.post("/runs", json=run)).status_code == 422


async def test_an_agent_is_revoked_by_its_id(api: Api) -> None:
    await enrol(api.one)
    agent = api.one.fleet.agent
    assert (await api.other.client.delete(f"/agents/{agent}")).status_code == 404
    done = await api.one.client.delete(f"/agents/{agent}?reason=lost")
    assert done.status_code == 204
    cursor = done.headers["Headway-Cursor"]
    shown = (await api.one.client.get(f"/agents/{agent}?min_offset={cursor}")).json()
    assert shown["revoked_at"] is not None
    assert (await api.one.client.delete(f"/agents/{agent}")).status_code == 204, "again is the same"
