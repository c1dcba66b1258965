"""Two workspaces. Whatever route exists: with the other's ids it answers 404 and not a byte of the other's.

Routes and their id parameters are taken from the application, so a new route is covered, or fails here until it is.
"""

import json
from typing import Any
from uuid import UUID

import pytest

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.application.emit_event import Event
from support.http_server import Api, Tenant, enrol
from support.log_fixtures import exited, started

pytestmark = pytest.mark.postgres

SECRET = "canary-of-the-other-workspace"
PUBLIC = {"/health", "/ready"}
# Without an id of anything they answer of the caller's own workspace.
OWN = {
    ("GET", "/runs"),
    ("GET", "/runs/counts"),
    ("GET", "/artifacts"),
    ("GET", "/events"),
    ("GET", "/deployments"),
    ("GET", "/pools"),
    ("GET", "/agents"),
    ("GET", "/whoami"),
    ("GET", "/log/head"),
    ("GET", "/api-keys"),
    ("POST", "/api-keys"),
    ("POST", "/pools"),
    ("GET", "/variables"),
    ("POST", "/variables"),
}
BODIES: dict[tuple[str, str], Any] = {
    ("PUT", "/pools/{id_or_name}"): {"permits": [], "slots": 0},
    ("POST", "/runs/{run_id}/input"): {"value": 1},
    ("POST", "/runs/{run_id}/fork"): {"verb": "resume"},
}


def routes(api: Api) -> list[tuple[str, str]]:
    return [
        (method.upper(), path.removeprefix("/api/v1"))
        for path, operations in api.app.openapi()["paths"].items()
        for method in operations
    ]


async def fill(tenant: Tenant) -> dict[str, str]:
    await enrol(tenant)
    deployment = await tenant.deploy(
        f"{SECRET}-deployment", description=SECRET, flow=SECRET, tags=[SECRET]
    )
    run = await tenant.create_run(
        deployment["id"], name=SECRET, tags=[SECRET], parameters={"region": SECRET}
    )
    pool = (
        await tenant.client.post("/pools", json={"name": f"{SECRET}-pool", "permits": []})
    ).json()
    variable = {"name": f"{SECRET}-variable", "value": SECRET, "tags": [SECRET]}
    await tenant.client.post("/variables", json=variable)
    key = (await tenant.client.post("/api-keys", json={"name": SECRET})).json()
    agent = (await tenant.client.get("/agents")).json()["items"][0]
    return {
        "deployment": deployment["id"],
        "deployment_name": deployment["name"],
        "run": run["id"],
        "pool": pool["id"],
        "pool_name": pool["name"],
        "key": key["id"],
        "agent": agent["id"],
        "artifact": SECRET,
        "variable": variable["name"],
    }


def foreign(path: str, ids: dict[str, str]) -> list[str]:
    """The path with each of the other's ids that its parameters can take."""
    path = path.replace("{call}", "0" * 32)
    kinds = {
        "{run_id}": ["run"],
        "{key}": ["artifact"],
        "{agent_id}": ["agent"],
        "{key_id}": ["key"],
        "{name}": ["variable"],
        "{id_or_name}": ["deployment", "deployment_name"]
        if path.startswith("/deployments")
        else ["pool", "pool_name"],
    }
    for parameter, names in kinds.items():
        if parameter in path:
            return [path.replace(parameter, ids[name]) for name in names]
    assert "{" not in path, f"no foreign id is known for {path}: add it here"
    return []


async def test_no_route_answers_with_anything_of_the_other_workspace(api: Api) -> None:
    ids = await fill(api.other)
    tried = 0
    for method, path in routes(api):
        for target in foreign(path, ids):
            answer = await api.one.client.request(
                method, target, json=BODIES.get((method, path)) if method != "GET" else None
            )
            assert answer.status_code == 404, (method, target, answer.text)
            assert SECRET not in answer.text.replace(target.rpartition("/")[2], "")
            tried += 1
    assert tried >= 12


async def test_ids_of_the_other_workspace_in_queries_and_bodies_are_not_there(api: Api) -> None:
    ids = await fill(api.other)
    await api.one.deploy()
    client = api.one.client
    answers = [
        await client.get("/runs", params={"deployment": ids["deployment"]}),
        await client.get("/runs", params={"deployment": ids["deployment_name"]}),
        await client.get("/runs/counts", params={"deployment": ids["deployment"]}),
        await client.get("/artifacts", params={"run": ids["run"]}),
        await client.get("/agents", params={"pool": ids["pool"]}),
        await client.get("/events", params={"run": ids["run"]}),
        await client.get("/events", params={"stream": f"run/{ids['run']}"}),
        await client.get("/events", params={"stream": f"attempt/{ids['run']}/1"}),
        await client.get("/events", params={"stream": f"deployment/{ids['deployment']}"}),
        await client.get("/events", params={"stream": f"pool/{ids['pool']}"}),
        await client.get("/events", params={"stream": f"agent/{ids['agent']}"}),
        await client.get("/events/stream", params={"run": ids["run"]}),
        await client.post("/runs", json={"deployment": ids["deployment"]}),
        await client.post("/enrolment-tokens", json={"pool": ids["pool"]}),
        await client.post(
            "/deployments",
            json={"name": "n", "flow": "f", "pool": ids["pool"], "entrypoint": "a:b"},
        ),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


async def test_a_wish_for_many_runs_reaches_none_of_the_other_workspace(api: Api) -> None:
    ids = await fill(api.other)
    for action in ("cancel", "resume"):
        body = {"action": action, "runs": [ids["run"]]}
        answer = (await api.one.client.post("/runs/bulk", json=body)).json()
        assert (answer["accepted"], answer["outcomes"][0]["code"]) == (0, "not_found")
        assert SECRET not in json.dumps(answer)
    assert (await api.other.client.get(f"/runs/{ids['run']}")).json()["state"] == "scheduled"


async def test_lists_hold_the_callers_own_alone(api: Api) -> None:
    await fill(api.other)
    for method, path in sorted(pair for pair in OWN if pair[0] == "GET"):
        answer = await api.one.client.request(method, path)
        assert answer.status_code == 200, (path, answer.text)
        assert SECRET not in json.dumps(answer.json())


async def test_an_event_reaches_runs_of_the_callers_workspace_alone(api: Api) -> None:
    event = Event("file arrived", "2026-11-22", 7)
    waits = attempt_pb2.Wait(call=b"c" * 16, kind="event", name=event.name, topic=event.topic)
    waiting = {}
    for tenant in (api.one, api.other):
        await enrol(tenant)
        made = await tenant.deploy()
        tenant.fleet.deployment = UUID(made["id"])
        run = await tenant.fleet.granted_run()
        end = exited(attempt_pb2.ATTEMPT_OUTCOME_SUSPENDED, waits=[waits])
        await tenant.fleet.report(run, 1, 1, [started(), end])
        waiting[tenant.ws] = str(run)
    for tenant in (api.one, api.other):
        body = {"name": event.name, "key": event.key, "value": event.value}
        answer = await tenant.client.post("/events", json=body)
        assert answer.json() == {"runs": [waiting[tenant.ws]]}


async def test_every_route_wants_a_credential(api: Api) -> None:
    ids = await fill(api.other)
    async with api.new_client() as stranger:
        for method, path in routes(api):
            if path in PUBLIC:
                continue
            target = (foreign(path, ids) or [path])[0]
            answer = await stranger.request(method, target)
            assert answer.status_code == 401, (method, path)
            assert answer.json()["code"] == "not_authenticated"
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_every_route_is_known_to_these_tests(api: Api) -> None:
    for method, path in routes(api):
        parametrised = "{" in path
        known = (
            parametrised
            or (method, path) in OWN
            or path in PUBLIC
            or (method, path)
            in {
                ("GET", "/events/stream"),
                ("POST", "/events"),
                ("POST", "/runs"),
                ("POST", "/runs/bulk"),
                ("POST", "/deployments"),
                ("POST", "/enrolment-tokens"),
            }
        )
        assert known, f"{method} {path}: say here how it could touch another workspace"
