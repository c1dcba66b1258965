"""The way to the control plane: private authorities, proxies, the doctor, enrolment; and output lines over a real socket."""

import asyncio
import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from click.testing import CliRunner

from headway_agent.commands import agent as agent_verbs
from headway_agent.connection.channel import parse_target
from headway_agent.connection.enrol import enrol
from headway_agent.connection.errors import Failure
from headway_agent.main.doctor import examine, identity_in
from headway_agent.main.enrolment import NotEnrolled, identity_of
from headway_agent.settings import BadSetting, Options, Settings, load
from headway_agent.spool.agent_db import AgentDb
from headway_api.common.v1 import data_class_pb2 as classes
from support.agent_under_test import running_agent
from support.certificates import private_authority
from support.fake_control_plane import DEFAULT_PERMITS, TOKEN, FakeControlPlane
from support.fake_runner import FakeRunner


@pytest.fixture
async def server() -> AsyncIterator[FakeControlPlane]:
    server = FakeControlPlane(now=time.time)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def runner() -> FakeRunner:
    return FakeRunner()


def settings_for(directory: Path, server: str, **more: Any) -> Settings:
    (directory / "state").mkdir(exist_ok=True)
    (directory / "token").write_text(TOKEN)
    options = Options(
        server=server,
        state_dir=directory / "state",
        roots=[directory],
        token_file=directory / "token",
        **more,
    )
    return load(options, {})


class Proxy:
    """A CONNECT proxy; `asked` are the ways that it was asked for."""

    def __init__(self, *, status: str = "200 OK") -> None:
        self.asked: list[str] = []
        self._status = status
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            where = head.split(b" ")[1].decode()
            self.asked.append(where)
            writer.write(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
            await writer.drain()
            if self._status.startswith("200"):
                port = int(where.rpartition(":")[2])
                there, back = await asyncio.open_connection("127.0.0.1", port)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pump(reader, back))
                    group.create_task(_pump(there, writer))
        except (OSError, asyncio.IncompleteReadError, ExceptionGroup, asyncio.CancelledError):
            pass  # either side may leave at any time
        finally:
            writer.close()
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_tls_with_a_private_authority(runner: FakeRunner, tmp_path: Path) -> None:
    ca, key, certificate = private_authority(tmp_path)
    server = FakeControlPlane(now=time.time)
    await server.start(tls=(key, certificate))
    try:
        target = parse_target(f"https://localhost:{server.port}", ca=ca)
        async with running_agent(server, runner, target=target):
            await server.until(lambda: server.streams)
        strangers = parse_target(f"https://localhost:{server.port}")
        with pytest.raises(Failure, match="can't be reached"):
            async with running_agent(server, runner, target=strangers):
                raise AssertionError("an unknown authority was trusted")
    finally:
        await server.stop()


async def test_through_a_proxy(server: FakeControlPlane, runner: FakeRunner) -> None:
    proxy = Proxy()
    async with proxy.serving() as address:
        # A name that only the proxy knows: nothing here could resolve it.
        target = parse_target(f"control.invalid:{server.port}", insecure=True, proxy=address)
        async with running_agent(server, runner, target=target):
            await server.until(lambda: server.streams)
    assert proxy.asked[0] == f"control.invalid:{server.port}"


async def test_the_doctor_finds_all_well(server: FakeControlPlane, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, server.address)
    with contextlib.closing(AgentDb.open(settings.state_dir / "agent.db")) as db:
        await identity_of(db, settings, lambda: 1)
    checks = {check.name: check for check in await examine(settings)}
    assert {
        name: c.verdict for name, c in checks.items() if name not in ("disk", "environments")
    } == {
        "identity": "ok",
        "name": "ok",
        "connection": "ok",
        "tls": "ok",
        "service": "ok",
        "session": "ok",
    }
    assert checks["environments"].verdict == "warn"
    assert server.streams == []


async def test_the_doctor_names_the_hop_that_breaks(
    server: FakeControlPlane, tmp_path: Path
) -> None:
    ca, key, certificate = private_authority(tmp_path)
    with_tls = FakeControlPlane(now=time.time)
    await with_tls.start(tls=(key, certificate))

    async def broken(address: str, **more: Any) -> tuple[str, str]:
        checks = await examine(settings_for(tmp_path, address, **more))
        check = next(c for c in checks if c.verdict == "fail" and c.name != "identity")
        assert check.next_step
        return check.name, check.text

    try:
        assert (await broken("nowhere.invalid:1"))[0] == "name"
        async with Proxy(status="403 Forbidden").serving() as address:
            settings = settings_for(tmp_path, "https://control.invalid:443")
            checks = await examine(dataclasses.replace(settings, proxy=address))
            assert any(c.name == "connection" and "403" in c.text for c in checks)
        assert (await broken("127.0.0.1:1"))[0] == "connection"
        assert (await broken(f"https://localhost:{with_tls.port}"))[0] == "tls"
        assert (await broken(f"https://localhost:{server.port}"))[0] == "tls"
        good = await examine(settings_for(tmp_path, f"https://localhost:{with_tls.port}", ca=ca))
        assert next(c for c in good if c.name == "service").verdict == "ok"
    finally:
        await with_tls.stop()


async def test_the_doctor_tells_a_wrong_clock_and_a_refused_identity(
    server: FakeControlPlane, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, server.address)
    with contextlib.closing(AgentDb.open(settings.state_dir / "agent.db")) as db:
        await identity_of(db, settings, lambda: 1)
    server.now = lambda: time.time() + 3_600
    server.keys.clear()
    checks = {check.name: check for check in await examine(settings)}
    assert checks["service"].verdict == "warn"
    assert "3600" in checks["service"].text
    assert checks["session"].verdict == "fail"
    assert "enrol" in checks["session"].next_step


async def test_enrolment_keeps_the_key_to_its_owner(
    server: FakeControlPlane, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, server.address)
    path = settings.state_dir / "agent.db"
    with contextlib.closing(AgentDb.open(path)) as db:
        first = await identity_of(db, settings, lambda: 1)
        assert await identity_of(db, settings, lambda: 1) == first
        with pytest.raises(BadSetting, match="another"):
            await identity_of(db, dataclasses.replace(settings, pool="another"), lambda: 1)
    assert path.stat().st_mode & 0o077 == 0
    # The machine's name is the customer's: it is no default.
    assert server.enrolled.name.startswith("agent-")
    assert os.uname().nodename not in server.enrolled.name


async def test_where_the_control_plane_was_last_is_remembered(
    server: FakeControlPlane, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, server.address)
    with contextlib.closing(AgentDb.open(settings.state_dir / "agent.db")) as db:
        first = await identity_of(db, settings, lambda: 1)
        elsewhere = dataclasses.replace(settings, server="127.0.0.1:9")
        moved = await identity_of(db, elsewhere, lambda: 2)
        assert moved == dataclasses.replace(first, endpoint="127.0.0.1:9")
        unsaid = dataclasses.replace(settings, server="")
        assert await identity_of(db, unsaid, lambda: 3) == moved
    found, check = identity_in(settings.state_dir)
    assert (found, check.verdict) == (moved, "ok")


async def test_enrolment_that_fails_says_why(server: FakeControlPlane, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, server.address, pool="another")
    with contextlib.closing(AgentDb.open(settings.state_dir / "agent.db")) as db:
        with pytest.raises(BadSetting, match="another"):
            await identity_of(db, settings, lambda: 1)
        (tmp_path / "token").write_text("stale")
        with pytest.raises(Failure, match="wrong, too old or used"):
            await identity_of(db, settings, lambda: 1)
        (tmp_path / "token").write_text("")
        with pytest.raises(NotEnrolled, match="headway agent enrol"):
            await identity_of(db, settings, lambda: 1)


async def test_enrolment_waits_for_a_control_plane_that_is_not_there_yet(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    waiting = asyncio.ensure_future(
        enrol(parse_target(f"127.0.0.1:{port}", insecure=True), TOKEN, "early", patience_s=60)
    )
    await asyncio.wait([waiting], timeout=0.3)
    assert not waiting.done()
    server = FakeControlPlane(now=time.time)
    await server.start(port)
    try:
        assert (await waiting).agent_id
        assert server.enrolled.name == "early"
    finally:
        await server.stop()


async def test_the_commands_enrol_and_examine(server: FakeControlPlane, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    common = ["--server", server.address, "--state-dir", str(tmp_path / "state")]
    shell = CliRunner()

    def call(*words: str) -> Any:
        return shell.invoke(agent_verbs, [*words, *common])

    token = ["--token-file", str(tmp_path / "token")]
    assert (await asyncio.to_thread(call, "doctor", "--root", str(tmp_path))).exit_code == 1
    assert (await asyncio.to_thread(call, "enrol", *token)).exit_code == 0
    assert (await asyncio.to_thread(call, "enrol", *token)).exit_code == 1
    assert (await asyncio.to_thread(call, "enrol", "--force", *token)).exit_code == 0
    report = await asyncio.to_thread(call, "doctor", "--root", str(tmp_path))
    assert report.exit_code == 0, report.output
    assert "the identity is accepted" in report.output


async def test_output_arrives_without_holes(server: FakeControlPlane, runner: FakeRunner) -> None:
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    async with running_agent(server, runner) as agent:
        await agent.opened()
        runner.print(held, *(f"line {n}" for n in range(2_500)))
        runner.print(held, "after a gap", skip=5)
        await server.until(lambda: server.stored(attempt).last_line >= 1_000)
        server.stream.cut()
        runner.write(held, {"type": "attempt.exited", "outcome": "completed", "lines": 2_506})
        await runner.until(lambda: held.state == "closed")
    stored = server.stored(attempt)
    texts = [line["text"] for line in stored.lines]
    assert texts[:2_500] == [f"line {n}" for n in range(2_500)]
    assert stored.lines[2_500]["gap"] == {"from": 2_501, "to": 2_505, "count": 5}
    assert texts[2_501:] == ["after a gap"]
    assert stored.last_line == 2_506


async def test_output_that_is_not_permitted_stays(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    server.permits = DEFAULT_PERMITS
    attempt = (str(uuid4()), 1)
    held = runner.holds(*attempt)
    async with running_agent(server, runner):
        await server.until(lambda: server.streams)
        runner.print(held, "canary")
        runner.write(held, {"type": "attempt.exited", "outcome": "completed", "lines": 1})
        await runner.until(lambda: held.state == "closed")
    assert not any(message.HasField("logs") for message in server.received)
    assert b"canary" not in b"".join(m.SerializeToString() for m in server.received)


async def test_the_host_is_named_only_where_names_are_permitted(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    server.permits = DEFAULT_PERMITS
    async with running_agent(server, runner, host="canary-host") as agent:
        await agent.opened()
        server.permits = (*DEFAULT_PERMITS, classes.DATA_CLASS_NAME)
        for count in (2, 3):
            server.stream.cut()
            await server.until(lambda c=count: len(server.streams) == c)
            await agent.opened()
    assert [s.hello.host for s in server.streams if s.hello] == ["", "", "canary-host"]


async def test_a_session_that_is_over_gets_a_new_id(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    async with running_agent(server, runner) as agent:
        await agent.opened()
        server.refuse = (grpc.StatusCode.ABORTED, "closed", (("x-headway-session", "over"),))
        first = agent.hub.who.session
        server.stream.cut()
        await agent.until(lambda: agent.hub.who.session != first)
        server.refuse = None
        await server.until(lambda: len(server.streams) == 2)
    assert len({s.hello.session for s in server.streams if s.hello}) == 2


async def test_a_stream_that_was_damaged_on_its_way_ends_no_agent(
    server: FakeControlPlane, runner: FakeRunner
) -> None:
    """It was welcomed before, so it is no stranger whom the control plane can't understand."""
    async with running_agent(server, runner) as agent:
        await agent.opened()
        server.refuse = (grpc.StatusCode.INVALID_ARGUMENT, "the batch id 7 came twice", ())
        server.stream.cut()
        await agent.until(lambda: agent.hub.session.backoff.failures >= 2)
        server.refuse = None
        await server.until(lambda: len(server.streams) == 2)
        await agent.opened()
