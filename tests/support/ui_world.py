"""What a workspace looks like after some work: written through the log, as agents and people would."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import zstandard

from headway.runtime.child_results import child_id
from headway_api.event.v1 import attempt_pb2 as facts
from headway_control_plane.application.ports import AttemptFacts, Fact, FactsBatch
from headway_control_plane.domain.commands import (
    CreateRun,
    Deploy,
    EnrolAgent,
    GrantRun,
    LoseSession,
    OpenSession,
)
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.run.events import OnLost
from headway_control_plane.domain.streams import Blob

SCHEMA = {
    "type": "object",
    "properties": {
        "region": {
            "type": "string",
            "enum": ["eu", "us", "apac"],
            "description": "where the orders come from",
        },
        "days": {
            "type": "integer",
            "minimum": 1,
            "default": 7,
            "description": "how far back to look",
        },
        "dry_run": {"type": "boolean", "default": False},
        "tables": {
            "type": "array",
            "items": {"type": "string"},
            "default": ["orders", "customers"],
        },
    },
    "required": ["region"],
    "additionalProperties": False,
}

OUTCOMES = {
    "completed": facts.ATTEMPT_OUTCOME_COMPLETED,
    "failed": facts.ATTEMPT_OUTCOME_FAILED,
    "crashed": facts.ATTEMPT_OUTCOME_CRASHED,
    "cancelled": facts.ATTEMPT_OUTCOME_CANCELLED,
}
CALLS = {
    "completed": facts.CALL_OUTCOME_COMPLETED,
    "failed": facts.CALL_OUTCOME_FAILED,
    "cancelled": facts.CALL_OUTCOME_CANCELLED,
    "skipped": facts.CALL_OUTCOME_SKIPPED,
}


def microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def call_key(name: str, number: int = 0, parent: bytes = b"") -> bytes:
    return hashlib.sha256(f"{name}/{number}".encode() + parent).digest()[:16]


@dataclass
class Script:
    """One attempt's facts and lines, told in seconds from its start."""

    world: "World"
    run: UUID
    fence: int
    start: datetime
    queue: list[tuple[float, Fact]] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    lines: list[tuple[float, str, str, str, str]] = field(default_factory=list)
    sent: int = 0
    said: int = 0

    def add(self, at: float, message) -> "Script":
        when = microseconds(self.start + timedelta(seconds=at))
        self.queue.append((at, Fact(type(message).__name__, 1, when, message.SerializeToString())))
        return self

    def begin(self, at: float = 0.0) -> "Script":
        self.add(at, facts.AttemptStarting(pid=4711, sdk="0.1.0"))
        return self.add(at, facts.AttemptStarted(pid=4712, python="3.11.7"))

    def call(
        self, name: str, start: float, end: float | None, outcome: str = "completed", *,
        number: int = 0, parent: bytes = b"", kind=facts.CALL_KIND_TASK, error=None, tries: int = 1, announce: bool = False,
    ) -> bytes:  # fmt: skip
        key = call_key(name, number, parent)
        common = {"call": key, "parent": parent, "kind": kind, "name": name}
        if end is None or announce:
            self.add(start, facts.CallStarted(**common))
        if end is not None:
            began = microseconds(self.start + timedelta(seconds=start))
            ended = facts.CallEnded(
                **common, started_at_us=began, outcome=CALLS[outcome], tries=tries
            )
            if error:
                ended.error.CopyFrom(self.error(*error))
            elif outcome == "completed":
                ended.result.CopyFrom(facts.Result(codec="json", size_bytes=17, digest=b"d" * 32))
            self.add(end, ended)
        return key

    def retry(
        self,
        name: str,
        at: float,
        delay: float,
        *,
        number: int = 1,
        index: int = 0,
        parent: bytes = b"",
    ) -> "Script":
        message = facts.CallRetrying(
            call=call_key(name, index, parent),
            parent=parent,
            kind=facts.CALL_KIND_TASK,
            name=name,
            delay_us=round(delay * 1e6),
        )
        setattr(message, "try", number)
        message.error.CopyFrom(self.error("ConnectionError", "warehouse.internal:5432 timed out"))
        return self.add(at, message)

    def error(self, error_class: str, message: str, traceback=()) -> facts.Error:
        blob = Blob.of(json.dumps({"message": message, "traceback": list(traceback)}).encode())
        self.blobs.append(blob)
        return facts.Error(error_class=error_class, text_digest=blob.digest)

    def end(self, at: float, outcome: str, error=None, **values) -> "Script":
        told = {"error": self.error(*error)} if error else {}
        if outcome == "completed":
            preview = Blob.of(b'{"rows": 48112, "file": "orders.parquet"}')
            self.blobs.append(preview)
            told["result"] = facts.Result(
                codec="json", size_bytes=40, digest=preview.digest, preview_digest=preview.digest
            )
        if outcome != "crashed":
            self.add(at, facts.AttemptEnded(outcome=OUTCOMES[outcome], **told))
        return self.add(at, facts.AttemptExited(outcome=OUTCOMES[outcome], **(told | values)))

    def map(
        self, name: str, count: int, start: float, *, parent: bytes = b"", size: int = 500,
        step: float = 0.004, took: float = 0.2,
    ) -> "Script":  # fmt: skip
        """Quick calls of one name that all completed, told as ranges."""
        for first in range(0, count, size):
            numbers = range(first, min(count, first + size))
            began = microseconds(self.start + timedelta(seconds=start + first * step))
            told = facts.CallsEnded(
                parent=parent, kind=facts.CALL_KIND_TASK, name=name, outcome=facts.CALL_OUTCOME_COMPLETED,
                calls=b"".join(call_key(name, number, parent) for number in numbers),
                started_deltas_us=[began] + [round(step * 1e6)] * (len(numbers) - 1),
                durations_us=[round(took * 1e6)] * len(numbers),
                codec="json", size_bytes=17 * len(numbers), count=len(numbers),
            )  # fmt: skip
            self.add(start + (first + len(numbers)) * step + took, told)
        return self

    def ask_run(self, at: float, deployment: str, *, number: int = 0, **parameters) -> bytes:
        """Ask for a run of a deployment; returns the call, of which nothing else is told before it ends."""
        key = call_key(deployment, number)
        blob = Blob.of(json.dumps(parameters).encode())
        self.blobs.append(blob)
        when = microseconds(self.start + timedelta(seconds=at))
        asked = facts.RunRequested(
            call=key, deployment=deployment, parameters_digest=blob.digest, has_parameters=True,
            run=UUID(child_id(str(self.run), key.hex(), when)).bytes, waited=True,
        )  # fmt: skip
        self.add(at, asked)
        return key

    def suspend(self, at: float, kind: str = "input", **values) -> "Script":
        """End the attempt with a wait; of a question, `asks` is what the form is made from."""
        asks = values.pop("asks", None)
        if asks is not None:
            blob = Blob.of(json.dumps(asks).encode())
            self.blobs.append(blob)
            values["request_digest"] = blob.digest
        since = microseconds(self.start + timedelta(seconds=at))
        told = {"call": call_key("wait"), "kind": kind, "name": "approve", "since_us": since}
        wait = facts.Wait(**(told | values))
        return self.add(
            at, facts.AttemptExited(outcome=facts.ATTEMPT_OUTCOME_SUSPENDED, waits=[wait])
        )

    def say(
        self, at: float, text: str, level: str = "INFO", source: str = "log", call: bytes = b""
    ) -> "Script":
        self.lines.append((at, level, source, call.hex(), text))
        return self

    async def send(self) -> None:
        """Send what was told and not yet sent."""
        pending = [fact for _, fact in sorted(self.queue, key=lambda item: item[0])]
        self.queue.clear()
        for first in range(0, len(pending), 250):
            part = pending[first : first + 250]
            attempt = AttemptFacts(self.run, self.fence, self.sent + 1, part, tuple(self.blobs))
            result = await self.world.log.append_facts(
                self.world.ws, FactsBatch([attempt], f"agent/{self.world.agent}")
            )
            assert result.attempts[0].verdict == "ok", result
            self.sent += len(part)
        self.blobs.clear()
        await self._send_lines()

    async def _send_lines(self) -> None:
        if not self.lines:
            return
        first = self.said + 1
        rows = [
            {"line": first + n, "at_us": microseconds(self.start + timedelta(seconds=at)), "level": level, "source": source, "call": call, "text": text}
            for n, (at, level, source, call, text) in enumerate(self.lines)
        ]  # fmt: skip
        content = zstandard.compress("\n".join(map(json.dumps, rows)).encode())
        self.said = await self.world.log.append_lines(
            self.world.ws, self.run, self.fence, first, len(rows), content
        )
        self.lines.clear()


@dataclass
class World:
    """A workspace and short ways to fill it."""

    log: object
    ws: int
    pool: UUID
    new_id: object
    database_url: str
    agent: UUID | None = None
    session: UUID | None = None
    deployments: dict[str, UUID] = field(default_factory=dict)

    async def execute(self, command):
        return await self.log.execute(self.ws, command, actor="key/ops")

    async def enrol(self, name: str = "agent-5", *, slots: int = 8) -> None:
        self.agent, self.session = self.new_id(), self.new_id()
        await self.execute(EnrolAgent(self.agent, name, self.pool, b"k" * 32))
        await self.execute(
            OpenSession(self.session, self.agent, self.new_id(), "etl-host-5", "0.1.0", slots)
        )
        await self._renew()

    async def _renew(self) -> None:
        """Renewals are no events; this one holds for all that a test tells of the past."""
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            await connection.execute(
                "UPDATE headway.session SET expires_at = clock_timestamp() + interval '1 day' WHERE session = %s",
                [self.session],
            )

    async def lose_session(self) -> None:
        await self.execute(LoseSession(self.session))

    async def deploy(self, name: str, flow: str | None = None, *, schema=SCHEMA, **changes) -> UUID:
        deployment = self.new_id()
        values = {
            "name": name, "flow": name if flow is None else flow, "pool": self.pool, "environment": "default",
            "entrypoint": f"flows.{name.replace('-', '_')}:main", "code_hash": "3f9e1c" * 8,
            "parameter_schema": Blob.of(json.dumps(schema).encode()), "defaults": Blob.of(b'{"region": "eu"}'),
            "description": "", "tags": ("etl",), "retries": 1, "retry_delay_ms": 0, "on_lost": OnLost.RETRY,
            "cancel_grace_ms": 1000, "kill_grace_ms": 1000,
        }  # fmt: skip
        await self.execute(Deploy(deployment, DeploymentDeployed(**(values | changes))))
        self.deployments[name] = deployment
        return deployment

    async def create(self, deployment: str, name: str = "", **changes) -> UUID:
        run = self.new_id()
        labels = {"name": name or f"run-{run.hex[-8:]}", "tags": changes.pop("tags", ["etl"])}
        parameters = changes.pop("parameters", {"region": "eu", "days": 7, "dry_run": False})
        await self.execute(
            CreateRun(
                run=run,
                deployment=self.deployments[deployment],
                deployment_version=1,
                parameters=Blob.of(json.dumps(parameters).encode()),
                labels=Blob.of(json.dumps(labels).encode()),
                **changes,
            )
        )
        return run

    async def grant(self, run: UUID) -> None:
        await self.execute(GrantRun(run, self.session, shard_epoch=0))

    async def start(self, deployment: str, *, begun: datetime | None = None, **changes) -> Script:
        """Create a run, grant it; return its first attempt, begun."""
        run = await self.create(deployment, **changes)
        await self.grant(run)
        return await self._begin(run, 1, begun)

    async def next_attempt(self, script: Script, *, begun: datetime | None = None) -> Script:
        await self.grant(script.run)
        return await self._begin(script.run, script.fence + 1, begun)

    async def _begin(self, run: UUID, fence: int, begun: datetime | None) -> Script:
        script = Script(self, run, fence, begun or datetime.now(UTC)).begin()
        await script.send()
        return script


LOOP = [
    {
        "file": "headway/runtime/flow_process.py",
        "line": 88,
        "function": "run",
        "code": "result = flow(**parameters)",
        "user": False,
    }
]
TRACE = [
    *LOOP,
    {"file": "flows.py", "line": 41, "function": "nightly_etl", "code": "optional_check(cleaned)", "user": True},
    {"file": "headway/tasks.py", "line": 210, "function": "__call__", "code": "return self._run(bound)", "user": False},
    {"file": "flows.py", "line": 25, "function": "optional_check", "code": "raise RuntimeError(f\"expected 14 columns, found {n}: {extra}\")", "user": True},
]  # fmt: skip
DRIFT = (
    "RuntimeError",
    "expected 14 columns, found 15: region\nthe warehouse was migrated on Friday",
    TRACE,
)


def tell_nightly(script: Script, *, scale: float = 1.0) -> Script:
    """A run of 30 tasks with a fan-out, a retry, a sub-flow and, in the end, a failure."""
    s = scale
    for n in range(12):
        begin = 0.2 * s + n * 0.35 * s
        script.call("extract", begin, begin + (4 + n % 5) * s, number=n)
        script.say(begin + 0.1, f"reading partition {n} of orders", call=call_key("extract", n))
        script.call("clean", begin + 9 * s, begin + (12 + n % 3) * s, number=n)
    script.call("flaky", 22 * s, None)
    script.retry("flaky", 24 * s, 5 * s)
    script.say(24 * s, "warehouse.internal:5432 timed out", "WARNING", call=call_key("flaky"))
    script.call("flaky", 22 * s, 34 * s, tries=2)
    publish = script.call("publish", 34 * s, 52 * s, kind=facts.CALL_KIND_FLOW, announce=True)
    for n in range(4):
        script.call("upload", (35 + 3 * n) * s, (40 + 3 * n) * s, number=n, parent=publish)
    script.call("notify", 50 * s, 51.5 * s, parent=publish)
    script.say(52 * s, "published 48,112 rows", source="stdout", level="")
    script.call("optional_check", 52.5 * s, 53.4 * s, "failed", error=DRIFT)
    check = call_key("optional_check")
    script.say(53.3 * s, "schema drift in orders", "WARNING", call=check)
    script.say(53.4 * s, "expected 14 columns, found 15: region", "ERROR", call=check)
    return script
