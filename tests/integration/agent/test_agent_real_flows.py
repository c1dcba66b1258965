"""The agent as a process, with the real runner and real flows, against a control plane over a real socket."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headway_agent.runner.environments import Environment, update
from headway_agent.spool.value_store import fetch, open_store
from support.attempts import SDK, TESTS
from support.fake_control_plane import ALL_PERMITS, DEFAULT_PERMITS, TOKEN, FakeControlPlane, decode
from support.s3_server import require_s3, s3_server
from support.stack import free_ports

pytestmark = pytest.mark.process

FLOWS = """
import logging
import os
import pathlib
import headway

CANARY = "canary-{}".format("in-code")

@headway.task
def double(value):
    print("doubling canary-line", value)
    return value * 2

@headway.flow
def ok(items, secret=""):
    logging.getLogger("flows").warning("canary-log %s", secret)
    return [double(item) for item in items] + [secret]

@headway.task
def large():
    return bytes(300_000)

@headway.flow
def keeps():
    return [len(large()), sorted(k for k in os.environ if k.startswith(("AWS", "HEADWAY_AGENT")))]

@headway.task(name="canary-task")
def breaks(secret):
    raise ValueError("canary-message " + secret)

@headway.flow
def bad(secret):
    breaks(secret)

@headway.flow
def waits(gate, done):
    pathlib.Path(done + ".began").touch()
    with open(gate) as pipe:
        pipe.read()
    pathlib.Path(done).touch()
    return 1
"""


@pytest.fixture
async def server() -> AsyncIterator[FakeControlPlane]:
    server = FakeControlPlane(now=time.time)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class AgentProcess:
    """`headway agent start` with everything in one directory."""

    def __init__(self, directory: Path, server: FakeControlPlane) -> None:
        self.directory = directory
        self.server = server
        self.root = directory / "code"
        self.root.mkdir(exist_ok=True)
        (self.root / "flows.py").write_text(FLOWS)
        self.environments = directory / "environments.toml"
        update(self.environments, Environment("default", sys.executable, str(self.root)))
        (directory / "token").write_text(TOKEN)
        self.process: asyncio.subprocess.Process | None = None
        self.log = directory / "agent.log"
        self.env: dict[str, str] = {}

    @contextlib.asynccontextmanager
    async def running(
        self, *arguments: str, **more: Any
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        code = "import click; from headway_agent.commands import register; g = click.Group(); register(g); g()"
        command = [
            *(sys.executable, "-c", code, "agent", "start", "--server", self.server.address),
            *("--state-dir", str(self.directory / "state"), "--root", str(self.root)),
            *("--environments", str(self.environments), "--slots", "4"),
            *("--token-file", str(self.directory / "token"), *arguments),
        ]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "PYTHONPATH": os.pathsep.join(map(str, (SDK, TESTS))),
            **self.env,
        }
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, env=env, stderr=log, **more)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def end(self, process: asyncio.subprocess.Process) -> int:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            return await process.wait()


@pytest.fixture
def agent(tmp_path: Path, server: FakeControlPlane) -> AgentProcess:
    return AgentProcess(tmp_path, server)


def fields(facts: list[Any], kind: str) -> list[Any]:
    return [decode(fact) for fact in facts if fact.type == kind]


async def test_a_flow_runs_from_grant_to_result(
    server: FakeControlPlane, agent: AgentProcess
) -> None:
    attempt = (str(uuid4()), 1)
    async with agent.running() as process:
        await server.until(lambda: server.streams, 30)
        server.assign(attempt, entrypoint="flows:ok", parameters={"items": [1, 2]})
        await server.until(lambda: server.stored(attempt).exited, 30)
        stored = server.stored(attempt)
        await server.until(lambda: any("canary-line 2" in x["text"] for x in stored.lines))
        assert await agent.end(process) == 0
    assert stored.types[0] == "AttemptStarting"
    assert [c.name for c in fields(stored.facts, "CallEnded")] == ["double", "double"]
    (exited,) = fields(stored.facts, "AttemptExited")
    assert exited.outcome == 1
    assert json.loads(stored.blobs[exited.result.preview_digest]) == [2, 4, ""]
    assert stored.last_line == len(stored.lines) == exited.lines
    assert not server.received[-1].goodbye.handover


async def test_what_is_not_permitted_never_leaves(
    server: FakeControlPlane, agent: AgentProcess, tmp_path: Path
) -> None:
    server.permits = DEFAULT_PERMITS
    good, bad, refused = ((str(uuid4()), 1) for _ in range(3))
    tap = tmp_path / "tap.jsonl"
    async with agent.running("--tap", str(tap)) as process:
        await server.until(lambda: server.streams, 30)
        given = {"secret": "canary-parameter"}
        server.assign(good, entrypoint="flows:ok", parameters={"items": [1], **given})
        server.assign(bad, entrypoint="flows:bad", parameters=given)
        server.assign(refused, entrypoint="flows:ok", environment="canary-environment")
        await server.until(lambda: all(server.stored(a).exited for a in (good, bad, refused)), 30)
        assert await agent.end(process) == 0
    sent = b"".join(message.SerializeToString() for message in server.received)
    for secret in (b"canary", b"flows", b"double", os.uname().nodename.encode(), b"agent.log"):
        assert secret not in sent
    assert not any(message.HasField("logs") for message in server.received)
    assert "canary" not in tap.read_text()
    assert len(tap.read_text().splitlines()) == len(server.received)
    (exited,) = fields(server.stored(bad).facts, "AttemptExited")
    assert (exited.outcome, exited.error.error_class) == (2, "ValueError")
    assert exited.error.text_digest == b""


async def test_the_same_leaves_where_it_is_permitted(
    server: FakeControlPlane, agent: AgentProcess
) -> None:
    server.permits = ALL_PERMITS
    bad = (str(uuid4()), 1)
    async with agent.running() as process:
        await server.until(lambda: server.streams, 30)
        server.assign(bad, entrypoint="flows:bad", parameters={"secret": "canary-parameter"})
        await server.until(lambda: server.stored(bad).exited, 30)
        assert await agent.end(process) == 0
    stored = server.stored(bad)
    (exited,) = fields(stored.facts, "AttemptExited")
    text = json.loads(stored.blobs[exited.error.text_digest])
    assert text["message"] == "canary-message canary-parameter"
    assert text["traceback"][-1]["function"] == "breaks"


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"environment": "nowhere"}, "environment refused"),
        ({"entrypoint": "no good:at all"}, "entry point refused"),
        ({"entrypoint": "flows:absent"}, ""),
    ],
)
async def test_what_cannot_be_executed_is_refused_with_its_cause(
    server: FakeControlPlane, agent: AgentProcess, changed: dict[str, str], cause: str
) -> None:
    attempt = (str(uuid4()), 1)
    async with agent.running() as process:
        await server.until(lambda: server.streams, 30)
        server.assign(attempt, **{"entrypoint": "flows:ok", **changed})
        await server.until(lambda: server.stored(attempt).exited, 30)
        assert await agent.end(process) == 0
    stored = server.stored(attempt)
    (exited,) = fields(stored.facts, "AttemptExited")
    text = json.loads(stored.blobs[exited.error.text_digest])["message"]
    assert (exited.outcome, exited.cause) == (5, cause), text
    assert text


async def test_a_run_outlives_two_agents(
    server: FakeControlPlane, agent: AgentProcess, tmp_path: Path
) -> None:
    """The first agent drains, the second one is killed, the third one reports the end: one execution throughout."""
    attempt = (str(uuid4()), 1)
    gate, done = tmp_path / "gate", tmp_path / "done"
    os.mkfifo(gate)
    given = {"gate": str(gate), "done": str(done)}
    async with agent.running() as first:
        await server.until(lambda: server.streams, 30)
        server.assign(attempt, entrypoint="flows:waits", parameters=given)
        await server.until(lambda: "AttemptStarted" in server.stored(attempt).types, 30)
        assert await agent.end(first) == 0
    assert server.received[-1].goodbye.handover
    async with agent.running() as second:
        await server.until(lambda: len(server.streams) == 2, 30)
        second.kill()
        await second.wait()
    gate.write_text("go")
    async with agent.running() as third:
        await server.until(lambda: server.stored(attempt).exited, 30)
        assert await agent.end(third) == 0
    assert done.exists()
    stored = server.stored(attempt)
    assert stored.types.count("AttemptStarting") == 1
    assert stored.duplicates == 0
    assert fields(stored.facts, "AttemptExited")[0].outcome == 1


async def test_cancel_ends_a_flow(
    server: FakeControlPlane, agent: AgentProcess, tmp_path: Path
) -> None:
    attempt = (str(uuid4()), 1)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    given = {"gate": str(gate), "done": str(tmp_path / "done")}
    async with agent.running() as process:
        await server.until(lambda: server.streams, 30)
        graces = {"cancel_grace_ms": 300, "kill_grace_ms": 300}
        server.assign(attempt, entrypoint="flows:waits", parameters=given, **graces)
        await server.until(lambda: "AttemptStarted" in server.stored(attempt).types, 30)
        server.cancel(attempt)
        await server.until(lambda: server.stored(attempt).exited, 30)
        assert await agent.end(process) == 0
    assert fields(server.stored(attempt).facts, "AttemptExited")[0].outcome == 4


async def test_what_was_cancelled_before_it_was_started_does_not_begin(
    server: FakeControlPlane, agent: AgentProcess, tmp_path: Path
) -> None:
    attempts = [(str(uuid4()), 1) for _ in range(3)]
    async with agent.running() as process:
        await server.until(lambda: server.streams, 30)
        for attempt in attempts:
            server.assign(attempt, entrypoint="flows:waits", parameters={"gate": "/", "done": "/"})
            server.cancel(attempt)
        await server.until(lambda: all(server.stored(each).exited for each in attempts), 30)
        assert await agent.end(process) == 0
    for attempt in attempts:
        assert server.stored(attempt).types == ["AttemptExited"]
        assert fields(server.stored(attempt).facts, "AttemptExited")[0].outcome == 4


async def test_the_end_of_the_parent_drains_the_agent(
    server: FakeControlPlane, agent: AgentProcess
) -> None:
    ours, theirs = os.pipe()
    async with agent.running("--parent-fd", str(ours), pass_fds=[ours]) as process:
        os.close(ours)
        await server.until(lambda: server.streams, 30)
        os.close(theirs)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    assert server.received[-1].HasField("goodbye")


async def test_a_second_agent_on_the_same_directory_is_told_so(
    server: FakeControlPlane, agent: AgentProcess
) -> None:
    async with agent.running() as first:
        await server.until(lambda: server.streams, 30)
        async with agent.running() as second:
            async with asyncio.timeout(20):
                assert await second.wait() == 1
        assert await agent.end(first) == 0
    assert "Another agent" in agent.log.read_text()


async def test_a_second_signal_stops_a_waiting_drain(
    server: FakeControlPlane, agent: AgentProcess, tmp_path: Path
) -> None:
    attempt = (str(uuid4()), 1)
    gate, done = tmp_path / "gate", tmp_path / "done"
    os.mkfifo(gate)
    async with agent.running("--drain-wait") as process:
        await server.until(lambda: server.streams, 30)
        given = {"gate": str(gate), "done": str(done)}
        server.assign(attempt, entrypoint="flows:waits", parameters=given)
        await server.until(lambda: "AttemptStarted" in server.stored(attempt).types, 30)
        process.send_signal(signal.SIGINT)
        await server.until(lambda: any(m.HasField("slots") for m in server.received))
        assert process.returncode is None
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    assert server.received[-1].goodbye.reason == "stopped"
    # The flow was left alone: it ends by itself, and the next agent tells.
    gate.write_text("go")
    async with agent.running() as process:
        await server.until(lambda: server.stored(attempt).exited, 30)
        assert await agent.end(process) == 0
    assert done.exists()


async def test_results_go_to_the_store_and_their_references_to_the_log(
    server: FakeControlPlane,
    agent: AgentProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_s3()
    attempt = (str(uuid4()), 1)
    with s3_server(free_ports(1)[0]) as s3:
        url = await asyncio.to_thread(s3.bucket, "bucket")
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)  # for this test's own look at it
        (tmp_path / "store.env").write_text("\n".join(f"{k}={v}" for k, v in s3.env.items()))
        agent.env = {
            "HEADWAY_AGENT_RESULTS": url,
            "HEADWAY_AGENT_RESULTS_ENV": str(tmp_path / "store.env"),
        }
        async with agent.running() as process:
            await server.until(lambda: server.streams, 30)
            server.assign(attempt, entrypoint="flows:keeps")
            await server.until(lambda: server.stored(attempt).exited, 30)
            marker = agent.directory / "state" / "runs" / attempt[0] / "1" / "stored"
            await server.until(marker.exists, 30)
            assert await agent.end(process) == 0
        facts = server.stored(attempt).facts
        (ended,), (exited,) = fields(facts, "CallEnded"), fields(facts, "AttemptExited")
        for result in (ended.result, exited.result):
            digest = result.digest.hex()
            assert result.reference == f"{url}/{digest[:2]}/{digest}"
            await asyncio.to_thread(fetch, open_store(url), digest, tmp_path / digest)
    assert json.loads(server.stored(attempt).blobs[exited.result.preview_digest]) == [300_000, []]


async def test_a_store_that_is_away_delays_no_run(
    server: FakeControlPlane, agent: AgentProcess
) -> None:
    attempt = (str(uuid4()), 1)
    place = agent.directory / "store"
    place.write_text("a file is in the way")
    agent.env = {"HEADWAY_AGENT_RESULTS": place.as_uri()}
    async with agent.running() as process:
        await server.until(lambda: server.streams, 30)
        server.assign(attempt, entrypoint="flows:keeps")
        await server.until(lambda: server.stored(attempt).exited, 30)
        await server.until(lambda: "results stay on this disk" in agent.log.read_text(), 30)
        assert await agent.end(process) == 0
    place.unlink()
    async with agent.running() as process:
        marker = agent.directory / "state" / "runs" / attempt[0] / "1" / "stored"
        await server.until(marker.exists, 30)
        assert await agent.end(process) == 0
    assert len(list(place.glob("??/*"))) == 2
