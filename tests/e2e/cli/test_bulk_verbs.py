"""Many runs at once, by the command line and the REST API: counted before, each decided by itself."""

from uuid import UUID, uuid4

import pytest

from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.db.roles import Role
from headway_control_plane.log.reader import Reader
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.task_timeline import TaskTimeline
from support.command_line import CommandLine
from support.http_server import Api, enrol
from support.log_fixtures import exited, started

pytestmark = [pytest.mark.postgres, pytest.mark.process]


async def failed_run(api: Api) -> str:
    run = UUID((await api.one.create_run())["id"])
    await api.one.fleet.grant(run)
    await api.one.fleet.report(run, 1, 1, [started(), exited(facts.ATTEMPT_OUTCOME_FAILED)])
    engine = ProjectionEngine(
        api.database, Reader(api.database, role=Role.PROJECTOR), [TaskTimeline()]
    )
    await engine.prepare()
    engine.mark(api.one.ws)
    await engine.catch_up()
    return str(run)


async def test_all_that_match_are_counted_then_cancelled(cli: CommandLine, api: Api) -> None:
    await api.one.deploy()
    for n in range(3):
        await api.one.create_run(tags=["old"] if n < 2 else ["new"])
    seen = await cli("runs", "cancel", "--filter", "tag:old", "--preview")
    assert seen.out.strip() == "Would cancel 2 runs (2 scheduled)."
    unasked = await cli("runs", "cancel", "--filter", "tag:old")
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    done = await cli("runs", "cancel", "--filter", "tag:old flow:nightly-etl", "--yes")
    assert done.out.strip() == "2 cancelled, 0 refused."
    counts = (await api.one.client.get("/runs/counts")).json()["states"]
    assert (counts["cancelled"], counts["scheduled"]) == (2, 1)
    again = await cli("runs", "cancel", "--filter", "tag:old", "--yes")
    assert (again.code, again.out.strip()) == (0, "No run matches that this applies to.")


async def test_failed_runs_are_resumed_together(cli: CommandLine, api: Api) -> None:
    await enrol(api.one)
    await api.one.deploy(retries=0)
    runs = {await failed_run(api) for _ in range(2)}
    done = await cli("runs", "resume", "--filter", "state:failed", "--yes", "-o", "json")
    assert done.code == 0, done.err
    assert {each["run"] for each in done.json} == runs
    for each in done.json:
        made = (await api.one.client.get(f"/runs/{each['made']}")).json()
        assert made["forked_from"]["run"] == each["run"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cancel"], "--filter"),
        (["cancel", "0199", "--filter", "tag:a"], "--filter"),
        (["cancel", "--filter", "state:completed"], "cannot be cancelled"),
        (["cancel", "--filter", "tag:"], "names nothing"),
        (["cancel", "--filter", "stat:running"], "Did you mean state:?"),
        (["cancel", "--filter", "state:runing"], "state: takes scheduled"),
        (["cancel", "--filter", "etl:daily"], "stands in quotes: '\"etl:daily\"'"),
        (["cancel", "--filter", "state:runing"], "Did you mean running?"),
        (["cancel", "--filter", "'open"], "quotation"),
        (["resume", "--filter", "tag:a", "--watch"], "by its id"),
    ],
)
async def test_wishes_that_make_no_sense_are_refused(
    cli: CommandLine, arguments: list[str], told: str
) -> None:
    refused = await cli("runs", *arguments)
    assert refused.code == 2
    assert told in refused.err


async def test_a_refusal_leaves_the_others_alone(api: Api) -> None:
    await enrol(api.one)
    await api.one.deploy(retries=0)
    ended, waiting = await failed_run(api), (await api.one.create_run())["id"]
    body = {"action": "cancel", "runs": [ended, waiting, waiting, str(uuid4())]}
    answer = (await api.one.client.post("/runs/bulk", json=body)).json()
    assert (answer["accepted"], answer["refused"]) == (1, 2)
    assert [bool(each["code"]) for each in answer["outcomes"]] == [True, False, True]

    resumed = {"action": "resume", "runs": [ended]}
    key = {"Idempotency-Key": "once"}
    made = [
        (await api.one.client.post("/runs/bulk", json=resumed, headers=key)).json()["outcomes"][0]
        for _ in range(2)
    ]
    assert made[0] == made[1]
    too_many = {"action": "cancel", "runs": [str(uuid4()) for _ in range(101)]}
    assert (await api.one.client.post("/runs/bulk", json=too_many)).status_code == 422
    assert (await api.one.client.post("/runs/bulk", json={**body, "runs": []})).status_code == 422
