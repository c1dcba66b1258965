"""Sub-flows by the command line and the REST API: found in lists, shown, their lines alone."""

import hashlib
import json
from uuid import UUID

import pytest
import zstandard

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.db.roles import Role
from headway_control_plane.domain.streams import Blob
from headway_control_plane.log.reader import Reader
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.task_timeline import TaskTimeline
from support.command_line import CommandLine
from support.http_server import Api, Tenant, enrol
from support.log_fixtures import NOW_US, exited, fact, started

pytestmark = [pytest.mark.postgres, pytest.mark.process]

FLOW, TASK = facts.CALL_KIND_FLOW, facts.CALL_KIND_TASK


def key_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:16]


def ended(name: str, parent: str = "", kind: int = FLOW, outcome: int = 1, **rest):
    above = key_of(parent) if parent else b""
    return fact(
        facts.CallEnded(
            call=key_of(name), parent=above, name=name, kind=kind, outcome=outcome,
            started_at_us=NOW_US, tries=1, **rest,
        )
    )  # fmt: skip


async def tell(tenant: Tenant, api: Api) -> UUID:
    """A run with a sub-flow that failed, another one, and lines of both."""
    await enrol(tenant)
    made = await tenant.deploy()
    tenant.fleet.deployment = UUID(made["id"])
    run = await tenant.fleet.granted_run()
    text = Blob.of(json.dumps({"message": "no table", "traceback": []}).encode())
    error = facts.Error(error_class="ValueError", text_digest=text.digest)
    story = [
        started(), ended("upload", "publish", TASK), ended("publish", outcome=2, error=error),
        ended("clean"), ended("load", kind=TASK), exited(facts.ATTEMPT_OUTCOME_FAILED),
    ]  # fmt: skip
    await tenant.fleet.report(run, 1, 1, story, [text])
    said = [("upload", "uploading"), ("publish", "publishing"), ("load", "loading")]
    lines = [
        {"line": n, "at_us": NOW_US, "level": "INFO", "source": "log", "call": key_of(name).hex(), "text": words}
        for n, (name, words) in enumerate(said, start=1)
    ]  # fmt: skip
    content = zstandard.compress("\n".join(map(json.dumps, lines)).encode())
    await api.services.log.append_lines(tenant.ws, run, 1, 1, len(lines), content)
    engine = ProjectionEngine(
        api.database, Reader(api.database, role=Role.PROJECTOR), [TaskTimeline()]
    )
    await engine.prepare()
    engine.mark(tenant.ws)
    await engine.catch_up()
    return run


async def test_subflows_are_listed_beside_runs_and_shown(cli: CommandLine, api: Api) -> None:
    run = await tell(api.one, api)
    plain = await cli("runs", "ls")
    assert len(plain.out.splitlines()) == 2
    both = await cli("runs", "ls", "--subflows")
    assert both.out.count("(sub-flow)") == 2
    failed = await cli("runs", "ls", "--subflows", "--state", "failed", "--flow", "publish")
    [_, row] = failed.out.splitlines()
    assert row.split()[0].endswith(f"/{key_of('publish').hex()[:8]}")
    assert "ValueError" in row

    inside = await cli("runs", "flows", str(run))
    assert [line.split()[2] for line in inside.out.splitlines()[1:]] == ["publish", "clean"]
    some = await cli("runs", "flows", str(run), "--state", "failed", "-o", "json")
    assert [each["name"] for each in some.json] == ["publish"]

    card = await cli("runs", "show", str(run), "--flow", key_of("publish").hex()[:8])
    assert card.code == 0, card.err
    assert "ValueError: no table" in card.out
    assert f"headway runs retry {run}" in card.err
    shown = await cli("runs", "show", str(run), "--flow", key_of("publish").hex(), "-o", "json")
    assert shown.json["status"] == "failed"
    assert shown.json["tasks"]["completed"] == 1


async def test_lines_of_a_call_and_of_what_it_called(cli: CommandLine, api: Api) -> None:
    run = await tell(api.one, api)
    told = await cli("runs", "logs", str(run), "--call", key_of("publish").hex()[:10])
    assert [line.split()[-1] for line in told.out.splitlines()] == ["uploading", "publishing"]
    both = await cli("runs", "logs", str(run), "--call", "ab", "--follow")
    assert (both.code, "--follow" in both.err) == (2, True)


async def test_what_is_no_subflow_is_refused_with_a_next_step(cli: CommandLine, api: Api) -> None:
    run = await tell(api.one, api)
    for call in (key_of("load").hex(), "0" * 32):
        refused = await cli("runs", "show", str(run), "--flow", call)
        assert refused.code == 3
        assert f"headway runs flows {run}" in refused.err
    nonsense = await cli("runs", "show", str(run), "--flow", "XYZ")
    assert "hexadecimal" in nonsense.err
    every = (await api.one.client.get(f"/runs/{run}/flows")).json()
    assert every["counts"]["total"] == 2


async def test_the_api_answers_within_a_call_and_of_the_callers_workspace_alone(api: Api) -> None:
    run = await tell(api.one, api)
    client = api.one.client
    key = key_of("publish").hex()
    inside = (await client.get(f"/runs/{run}/tasks", params={"within": key})).json()
    assert [each["name"] for each in inside["items"]] == ["upload"]
    assert inside["counts"]["total"] == 1
    items = (await client.get("/runs", params={"subflows": "true"})).json()["items"]
    assert sorted(each["kind"] for each in items) == ["flow", "flow", "run"]
    counts = (await client.get("/runs/counts", params={"subflows": "true"})).json()["states"]
    assert (counts["completed"], counts["failed"]) == (1, 2)  # the run failed too
    foreign = await api.other.client.get("/runs", params={"subflows": "true"})
    assert foreign.json()["items"] == []
    assert (await api.other.client.get(f"/runs/{run}/flows/{key}")).status_code == 404
    unknown = await client.get(f"/runs/{run}/tasks", params={"within": "f" * 32})
    assert unknown.status_code == 404
    broken = await client.get(f"/runs/{run}/logs", params={"call": "not hex"})
    assert broken.status_code == 422
