"""`headway agent doctor`: goes the agent's way step by step, says where it ends and what to do about it."""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import grpc

from headway_agent.clock import SystemClock
from headway_agent.connection import probe
from headway_agent.connection.channel import BadAddress, Target
from headway_agent.connection.errors import SKEW_US, TABLE, Reaction
from headway_agent.connection.identity import Assertions, Identity
from headway_agent.connection.probe import Broken
from headway_agent.main.enrolment import target_of
from headway_agent.main.wiring import identity_from
from headway_agent.runner import environments
from headway_agent.runner.environments import Environment, Refused
from headway_agent.settings import BadSetting, Settings, apply_results_env
from headway_agent.spool import records
from headway_agent.spool.value_store import StoreFault, ValueAbsent, fetch, open_store

SPARE_BYTES = 1 << 30
LEAST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    verdict: Literal["ok", "warn", "fail", "skip"]
    text: str
    next_step: str = ""

    def __str__(self) -> str:
        advice = f"\n         -> {self.next_step}" if self.next_step else ""
        return f"{self.verdict:<5}{self.name}: {self.text}{advice}"


def run(settings: Settings) -> int:
    """Prints the report; 1 when anything fails."""
    failed = False
    for check in asyncio.run(examine(settings)):
        sys.stdout.write(f"{check}\n")
        failed = failed or check.verdict == "fail"
    return int(failed)


async def examine(settings: Settings) -> list[Check]:
    checks = [disk(settings.state_dir)]
    identity, check = identity_in(settings.state_dir)
    checks += [check, *code(settings), *results(settings)]
    try:
        target = target_of(settings, identity)
    except (BadSetting, BadAddress) as error:
        return [*checks, Check("server", "fail", str(error))]
    return checks + await way(target, identity)


def disk(state_dir: Path) -> Check:
    """Whether the agent can write, and for how long."""
    place = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    if not os.access(place, os.W_OK):
        return Check(
            "disk", "fail", f"{place} can't be written", "change its owner, or --state-dir"
        )
    free = shutil.disk_usage(place).free
    text = f"{free >> 20} MiB free for {state_dir}"
    if free < LEAST_BYTES:
        return Check("disk", "fail", text, "free some space: nothing new can be started")
    if free < SPARE_BYTES:
        return Check("disk", "warn", text, "free some space before an outage needs it")
    return Check("disk", "ok", text)


def identity_in(state_dir: Path) -> tuple[Identity | None, Check]:
    """Reads agent.db beside a running agent."""
    path = state_dir / "agent.db"
    enrol = "get a token with `headway agents token POOL` and run `headway agent enrol`"
    if not path.exists():
        return None, Check("identity", "fail", "this agent is not enrolled", enrol)
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            row = records.identity(connection)
    except sqlite3.Error as error:
        advice = "check the disk; a new --state-dir and enrolment replace it"
        return None, Check("identity", "fail", f"{path} can't be read: {error}", advice)
    if row is None:
        return None, Check("identity", "fail", "this agent is not enrolled", enrol)
    if path.stat().st_mode & 0o077:
        return identity_from(row), Check(
            "identity", "fail", f"{path} holds the key and others can read it", f"chmod 600 {path}"
        )
    return identity_from(row), Check("identity", "ok", f"agent {row.agent_id}, pool {row.pool!r}")


def code(settings: Settings) -> Iterator[Check]:
    """Every environment that a deployment may name."""
    try:
        found = environments.read(settings.environments)
    except Refused as error:
        yield Check("environments", "fail", str(error))
        return
    if not found:
        yield Check(
            "environments",
            "warn",
            f"{settings.environments} names none",
            "run `headway deploy` on this machine under the interpreter of your flows, with"
            f" HEADWAY_AGENT_STATE_DIR={settings.state_dir} if that is not its default",
        )
    for environment in found.values():
        yield _environment(settings, environment)


def _environment(settings: Settings, environment: Environment) -> Check:
    name = f"environment {environment.name!r}"
    try:
        environments.find(settings.environments, environment.name, "any.module:any", settings.roots)
        environments.read_env_file(environment.env_file)
    except Refused as error:
        return Check(name, "fail", str(error))
    return Check(name, "ok", f"{environment.python}, root {environment.root}")


def results(settings: Settings) -> Iterator[Check]:
    """Whether the store of results takes a value, gives it back, and lets it go."""
    if not settings.results:
        return
    probe = secrets.token_bytes(64)
    digest = hashlib.sha256(probe).hexdigest()
    try:
        apply_results_env(settings)
        store = open_store(settings.results)
        with tempfile.TemporaryDirectory() as folder:
            sent, got = Path(folder) / "sent", Path(folder) / "got"
            sent.write_bytes(probe)
            store.put(digest, sent)
            fetch(store, digest, got)
            store.delete(digest)
    except (BadSetting, StoreFault, ValueAbsent) as error:
        advice = "check its address, its credentials and what they permit: write, read and delete below it"
        yield Check("results", "fail", str(error), advice)
        return
    yield Check("results", "ok", f"{settings.results} can be written, read and deleted from")


async def way(target: Target, identity: Identity | None) -> list[Check]:
    """Hop by hop; behind a broken hop nothing can be said."""
    hops: list[tuple[str, Callable[[], Awaitable[Check]]]] = [
        ("name", lambda: _said("name", probe.resolve(target))),
        ("connection", lambda: _said("connection", probe.connect(target))),
        ("tls", lambda: _tls(target)),
        ("service", lambda: _service(target)),
        ("session", lambda: _session(target, identity)),
    ]
    if target.proxy:
        del hops[0]  # the proxy resolves the name
    checks: list[Check] = []
    for name, hop in hops:
        if checks and checks[-1].verdict == "fail":
            checks.append(Check(name, "skip", "not reached"))
            break
        try:
            checks.append(await hop())
        except Broken as broken:
            checks.append(Check(name, "fail", str(broken), broken.next_step))
    return checks


async def _said(name: str, hop: Awaitable[str]) -> Check:
    return Check(name, "ok", await hop)


async def _tls(target: Target) -> Check:
    if target.tls:
        return await _said("tls", probe.handshake(target))
    if target.loopback:
        return Check("tls", "ok", "not used on this machine's own address")
    return Check("tls", "warn", "not used: everything is sent in clear", "use https:// instead")


async def _service(target: Target) -> Check:
    theirs = await probe.server_time_us(target)
    if theirs is None:
        return Check("service", "warn", "it answers, but does not tell its clock")
    off = SystemClock().now_us() - theirs
    text = f"it answers; this machine's clock differs by {off / 1_000_000:+.1f} s"
    if abs(off) > SKEW_US:
        return Check(
            "service", "warn", text, "set the clock (NTP); the agent corrects itself meanwhile"
        )
    return Check("service", "ok", text)


async def _session(target: Target, identity: Identity | None) -> Check:
    if identity is None:
        return Check("session", "skip", "not enrolled")
    theirs = await probe.server_time_us(target)
    assertions = Assertions(identity, SystemClock().now_us, lambda: "doctor")
    if theirs is not None:
        assertions.correct(theirs)
    status, _, detail = await probe.session_status(target, assertions.metadata())
    reaction, advice = TABLE[status]
    refused = reaction is Reaction.REENROL or status is grpc.StatusCode.PERMISSION_DENIED
    if refused:
        return Check("session", "fail", f"the identity is refused: {detail}", advice)
    if status is grpc.StatusCode.UNAVAILABLE:
        return Check("session", "fail", detail, advice)
    return Check("session", "ok", "the identity is accepted")
