"""The runner, the template, the supervisor and the SDK's own flow process together."""

import json
import os
import signal
from pathlib import Path

import jsonschema
import pytest

from headway_agent.runner.api import Assignment, AttemptKey
from support.attempts import ROOT
from support.runners import RUN, agent, assignment

pytestmark = pytest.mark.process

SCHEMA = json.loads((ROOT / "proto/headway_api/ipc/v1/frames.schema.json").read_text())
FRAME = jsonschema.Draft202012Validator(SCHEMA)


def of(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


FLOWS = """
import pathlib
import threading

from headway import flow, get_run_logger, task


@task
def double(n: int) -> int:
    with open("calls", "a") as file:
        file.write(f"{n}\\n")
    return 2 * n


@flow
def sums(count: int, fail: bool = False) -> int:
    print("printed")
    get_run_logger().warning("logged")
    total = sum(double(n) for n in range(count))
    if fail and not pathlib.Path("failed").exists():
        pathlib.Path("failed").touch()
        raise ValueError("once")
    return total


@flow
def waits() -> None:
    double(1)
    threading.Event().wait()


@flow
def leaves() -> None:
    raise SystemExit(3)
"""


def grant(name: str, fence: int = 1, **parameters: object) -> Assignment:
    return assignment(
        fence=fence, changes={"entrypoint": f"flows_here:{name}", "parameters": parameters}
    )


async def test_a_flow_runs_and_a_second_attempt_skips_what_completed(tmp_path: Path) -> None:
    async with agent(tmp_path / "s", template_arguments=()) as one:
        (one.root / "flows_here.py").write_text(FLOWS)
        first, second = AttemptKey(RUN, 1), AttemptKey(RUN, 2)
        await one.runner.start(grant("sums", count=3, fail=True))
        await one.until_state(first, "exited")
        last = await one.last(first)
        assert (last["outcome"], last["error"]["class"]) == ("failed", "ValueError")
        texts = [json.loads(line.content)["text"] for line in await one.runner.lines(first, 0)]
        assert {"printed", "logged"} <= set(texts)

        await one.runner.start(grant("sums", 2, count=3, fail=True))
        await one.until_state(second, "exited")
        last = await one.last(second)
        assert (last["outcome"], last["result"]["data"]) == ("completed", "6")
        ends = [fact["outcome"] for fact in await one.facts(second) if fact["type"] == "call.ended"]
        assert ends.count("skipped") == 3
        assert (one.root / "calls").read_text().splitlines() == ["0", "1", "2"]


async def test_cancel_raises_in_the_flow(tmp_path: Path) -> None:
    key = AttemptKey(RUN, 1)
    async with agent(tmp_path / "s", template_arguments=()) as one:
        (one.root / "flows_here.py").write_text(FLOWS)
        await one.runner.start(grant("waits"))
        await one.until_ready(key)
        assert await one.runner.cancel(key)
        await one.until_state(key, "exited")
        last = await one.last(key)
    assert (last["outcome"], last["cause"]) == ("cancelled", "cancelled")


async def test_a_killed_flow_crashes_and_its_journal_serves_the_next_attempt(
    tmp_path: Path,
) -> None:
    first, second = AttemptKey(RUN, 1), AttemptKey(RUN, 2)
    async with agent(tmp_path / "s", template_arguments=()) as one:
        (one.root / "flows_here.py").write_text(FLOWS)
        await one.runner.start(grant("waits"))
        await one.until_ready(first)
        os.kill((await one.facts(first))[0]["pid"], signal.SIGKILL)
        await one.until_state(first, "exited")
        await one.runner.start(grant("waits", 2))
        await one.until_ready(second)
        await one.runner.cancel(second)
        await one.until_state(second, "exited")
        assert "skipped" in [fact.get("outcome") for fact in await one.facts(second)]
        assert (one.root / "calls").read_text().splitlines() == ["1"]


async def test_an_unknown_entry_point_is_refused_by_a_fact(tmp_path: Path) -> None:
    key = AttemptKey(RUN, 1)
    async with agent(tmp_path / "s", template_arguments=()) as one:
        (one.root / "flows_here.py").write_text(FLOWS)
        await one.runner.start(grant("nowhere"))
        await one.until_state(key, "exited")
        assert (await one.last(key))["outcome"] == "refused"


async def test_every_file_keeps_the_contract(tmp_path: Path) -> None:
    key = AttemptKey(RUN, 1)
    async with agent(tmp_path / "s", template_arguments=()) as one:
        (one.root / "flows_here.py").write_text(FLOWS)
        await one.runner.start(grant("sums", count=3))
        await one.until_state(key, "exited")
        for fact in await one.facts(key):
            FRAME.validate(fact)
        for line in await one.runner.lines(key, 0):
            of("output_line").validate(json.loads(line.content))
        of("start").validate(json.loads((one.dir.run_dir(key) / "start.json").read_bytes()))
        refused = AttemptKey(RUN, 2)
        await one.runner.start(assignment(fence=2, environment="unknown"))
        await one.until_state(refused, "exited")
        for fact in await one.facts(refused):
            FRAME.validate(fact)
