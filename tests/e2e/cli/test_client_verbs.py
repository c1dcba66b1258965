"""Verbs of the client, each as a real process against a real server."""

import asyncio
import json
import sys
import time
import tomllib
from pathlib import Path
from uuid import UUID

import pytest
import zstandard

from headway_api.event.v1 import attempt_pb2
from headway_control_plane.domain.streams import Blob
from support.command_line import CommandLine
from support.http_server import Api, enrol
from support.log_fixtures import calls, exited, started

pytestmark = [pytest.mark.postgres, pytest.mark.process]

FLOWS = '''
from headway import flow


@flow(name="nightly etl", retries=2, tags=["etl"])
def nightly(region: str, limit: int = 10) -> int:
    """Load a night."""
    return limit
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "flows.py").write_text(FLOWS)
    return root


async def deploy(cli: CommandLine, project: Path, *more: str):
    return await cli(
        "deploy", "flows:nightly", "--root", str(project), "--python", sys.executable, *more
    )


async def test_deploy_records_the_environment_and_the_flow(
    cli: CommandLine, api: Api, project: Path
) -> None:
    checked = await deploy(cli, project, "--check")
    assert (checked.code, "would be created" in checked.out) == (0, True), checked.err
    assert not (cli.home / "headway").exists()

    made = await deploy(cli, project, "-o", "json")
    assert made.code == 0, made.err
    assert made.json["name"] == "nightly-etl"
    assert made.json["retries"] == 2
    assert made.json["defaults"] == {"limit": 10}
    assert made.json["parameter_schema"]["required"] == ["region"]
    written = next((cli.home / "headway").rglob("environments.toml"))
    entry = tomllib.loads(written.read_text())["environments"]["default"]
    assert entry == {"python": sys.executable, "root": str(project), "env_file": ""}

    again = await deploy(cli, project)
    assert (again.code, "is up to date" in again.out) == (0, True)
    same = await deploy(cli, project, "--check")
    assert "up to date" in same.out


async def test_another_project_does_not_take_over_an_environment(
    cli: CommandLine, project: Path, tmp_path: Path
) -> None:
    assert (await deploy(cli, project)).code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "flows.py").write_text(FLOWS)

    refused = await deploy(cli, elsewhere, "--name", "other")
    named = await deploy(cli, elsewhere, "--name", "other", "--environment", "elsewhere")

    assert refused.code == 3
    assert "--environment NAME" in refused.err
    assert named.code == 0, named.err


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise RuntimeError('no database here')", "no database here"),
        ("x = 1", "nightly"),
    ],
)
async def test_a_flow_that_cannot_be_imported_is_told_with_its_error(
    cli: CommandLine, project: Path, source: str, told: str
) -> None:
    (project / "flows.py").write_text(source)
    done = await deploy(cli, project)
    assert done.code == 3
    assert told in done.err
    assert "Next:" in done.err


async def test_run_ls_show_cancel(cli: CommandLine, api: Api) -> None:
    await api.one.deploy()
    made = await cli("run", "nightly", "-p", "region=eu", "-p", "limit=7", "--tag", "a")
    assert made.code == 0, made.err
    run_id = made.out.strip()

    listed = await cli("runs", "ls", "--state", "scheduled", "--tag", "a")
    heads, row = listed.out.splitlines()
    assert heads.split()[:4] == ["RUN", "STATE", "FLOW", "NAME"]
    assert row.split()[0] == run_id[: len(row.split()[0])]
    shown = await cli("runs", "show", run_id[:20], "-o", "json")
    assert shown.json["parameters"] == {"limit": 7, "region": "eu"}
    card = await cli("runs", "show", run_id)
    assert "about to be given to an agent" in card.out

    cancelled = await cli("runs", "cancel", run_id, "--reason", "typo")
    assert (cancelled.code, "cancelled" in cancelled.out) == (0, True)
    again = await cli("runs", "cancel", run_id)
    assert again.code == 3
    assert "Next:" in again.err
    ended = await cli("run", "nightly", "-p", "region=eu", "--idempotency-key", "k", "-o", "json")
    same = await cli("run", "nightly", "-p", "region=eu", "--idempotency-key", "k", "-o", "json")
    assert ended.json["id"] == same.json["id"]


async def test_wrong_parameters_are_listed_one_a_line(cli: CommandLine, api: Api) -> None:
    await api.one.deploy()
    done = await cli("run", "nightly", "-p", "limit=0", "-p", "colour=red")
    assert done.code == 3
    assert done.out == ""
    for path in ("parameters.region", "parameters.limit", "parameters.colour"):
        assert path in done.err


async def _give(api: Api, run_id: UUID) -> None:
    await api.one.fleet.grant(run_id)
    await api.one.fleet.report(run_id, 1, 1, [started(), *calls(0, 1)])
    line = {"line": 1, "at_us": int(time.time() * 1e6), "source": "stdout", "level": "", "call": ""}
    content = zstandard.compress(json.dumps(line | {"text": "loading \x1b[31mred"}).encode())
    await api.services.log.append_lines(api.one.ws, run_id, 1, 1, 1, content)


async def _accepted(api: Api) -> UUID:
    """Wait for the run that the command line makes."""
    seen: asyncio.Queue[UUID] = asyncio.Queue()

    def notice(commit) -> None:
        for decided in commit.decided:
            if type(decided.event).__name__ == "RunCreated":
                seen.put_nowait(decided.stream.id)

    end = api.services.log.on_commit(notice)
    try:
        async with asyncio.timeout(60):
            return await seen.get()
    finally:
        end()


async def test_watching_in_a_pipe_prints_lines_and_ends_with_the_run(
    cli: CommandLine, api: Api
) -> None:
    await enrol(api.one)
    await api.one.deploy()
    accepted = asyncio.create_task(_accepted(api))
    await asyncio.sleep(0)
    process = await cli.start("run", "nightly", "-p", "region=eu", "--watch")
    run_id = await accepted
    await _give(api, run_id)
    text = Blob.of(json.dumps({"message": "no table", "traceback": []}).encode())
    error = attempt_pb2.Error(error_class="ValueError", text_digest=text.digest)
    failed = exited(attempt_pb2.ATTEMPT_OUTCOME_FAILED, error=error)
    await api.one.fleet.report(run_id, 1, 3, [failed], [text])
    async with asyncio.timeout(60):
        out, err = await process.communicate()

    told = out.decode()
    assert process.returncode == 10, err.decode()
    assert "given to an agent (attempt 1)" in told
    assert "CallStarted" not in told
    assert not [line for line in told.splitlines() if " * task" in line]
    assert "loading \N{REPLACEMENT CHARACTER}[31mred" in told
    assert "\x1b" not in told
    assert "ValueError: no table" in told
    assert told.splitlines()[-1].startswith("failed after")
    logs = await cli("runs", "logs", str(run_id))
    assert "loading" in logs.out


async def test_waiting_long_enough_and_completing(cli: CommandLine, api: Api) -> None:
    await enrol(api.one)
    await api.one.deploy()
    late = await cli("run", "nightly", "-p", "region=eu", "--wait", "--timeout", "0.2")
    assert late.code == 13
    assert "headway runs watch" in late.err

    accepted = asyncio.create_task(_accepted(api))
    await asyncio.sleep(0)
    process = await cli.start("run", "nightly", "-p", "region=eu", "--wait", "-o", "json")
    run_id = await accepted
    await _give(api, run_id)
    await api.one.fleet.report(run_id, 1, 3, [exited()])
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["state"] == "completed"


async def test_the_tail_of_the_log_goes_on_without_gap(cli: CommandLine, api: Api) -> None:
    await api.one.deploy()
    first = await cli("events", "tail", "-o", "json")
    seen = [json.loads(line)["cursor"] for line in first.out.splitlines()]
    process = await cli.start("events", "tail", "-f", "--after", seen[0], "-o", "json")
    assert process.stdout is not None
    run = await api.one.create_run()
    followed: list[dict] = []
    async with asyncio.timeout(60):
        while not followed or followed[-1]["stream"] != f"run/{run['id']}":
            followed.append(json.loads(await process.stdout.readline()))
    process.terminate()
    await process.wait()
    offsets = [int(event["cursor"].partition(":")[2]) for event in followed]
    assert offsets == list(range(2, offsets[-1] + 1))
    text = await cli("events", "tail")
    assert "DeploymentDeployed" in text.out


async def test_pools_agents_deployments(cli: CommandLine, api: Api) -> None:
    await enrol(api.one)
    await api.one.deploy()
    made = await cli("pools", "create", "gpu", "--permit", "name", "--slots", "2")
    assert made.code == 0, made.err
    assert (await cli("pools", "create", "gpu")).code == 3
    assert "gpu" in (await cli("pools", "ls")).out
    assert "agent-1" in (await cli("agents", "ls")).out
    assert (await cli("agents", "token", "gpu")).out.startswith("headway_enrol_")
    assert "region" in (await cli("deployments", "show", "nightly")).out
    assert (await cli("deployments", "ls", "-o", "json")).json[0]["name"] == "nightly"


async def test_login_keeps_a_tried_profile_and_its_key_goes_nowhere_else(
    cli: CommandLine, api: Api
) -> None:
    nobody = {"HEADWAY_API_URL": "", "HEADWAY_API_KEY": ""}
    before = await cli("runs", "ls", **nobody)
    assert (before.code, "headway up" in before.err) == (4, True)
    wrong = await cli("login", api.url, "--key-stdin", stdin="headway_key_no\n", **nobody)
    assert wrong.code == 4
    done = await cli("login", api.url, "--key-stdin", stdin=f"{api.one.key}\n", **nobody)
    assert (done.code, "workspace one" in done.out) == (0, True), done.err
    profile = cli.home / "headway" / "profile.json"
    assert profile.stat().st_mode & 0o077 == 0
    assert (await cli("whoami", "-o", "json", **nobody)).json["workspace"]["name"] == "one"

    elsewhere = await cli("whoami", HEADWAY_API_URL=f"{api.url}/", HEADWAY_API_KEY="")
    assert elsewhere.code == 0
    other = api.url.replace("127.0.0.1", "localhost")
    assert (await cli("whoami", HEADWAY_API_URL=other, HEADWAY_API_KEY="")).code == 4


async def test_nobody_there_says_how_to_start(cli: CommandLine) -> None:
    done = await cli("runs", "ls", HEADWAY_API_URL="http://127.0.0.1:9")
    assert done.code == 5
    assert "headway up" in done.err
