"""The REST API by its own description: chains of requests of two workspaces on one server, each asking for what is the other's too.

No answer is an error of ours, each is of a status and a form that the description promises, and none holds a word of the other workspace
beyond what the question itself held. schemathesis makes the requests; links between operations are inferred from the description.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar
from uuid import UUID

import hypothesis
import requests
from hypothesis import HealthCheck, Phase
from schemathesis.core.failures import FailureGroup
from schemathesis.generation.stateful import run_state_machine_as_test
from schemathesis.openapi import from_url
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fuzz.harness import Finding, Limits, Report
from fuzz.places import Ears, database
from headway_api.event.v1 import attempt_pb2
from support.http_server import Tenant, enrol, serve_api
from support.log_fixtures import call_ended, exited, started

BATCH = 8  # scenarios; a timed run ends between two batches
STEPS = 8
# The stream of events ends when its client goes; it has tests of its own.
LEFT_OUT = "/api/v1/events/stream"
_CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@dataclass
class Side:
    """A workspace, and every word and id that must not be told to the other."""

    tenant: Tenant
    secret: str = field(default_factory=lambda: secrets.token_hex(8))
    ids: set[str] = field(default_factory=set)

    @property
    def key_id(self) -> str:
        return self.tenant.key.split("_")[2]

    def words_in(self, served: str, asked: str) -> list[str]:
        return [word for word in (self.secret, *self.ids) if word in served and word not in asked]


class RestFuzzer:
    """Runs like a `Target`, but schemathesis makes its requests."""

    name = "rest"

    def __init__(self, database_url: str = "") -> None:
        self._url = database_url
        self._ears = Ears()

    async def fuzz(self, seed: int, limits: Limits, *, keep: bool = True) -> Report:
        return await asyncio.to_thread(self._fuzz, seed, limits)

    def _fuzz(self, seed: int, limits: Limits) -> Report:
        report = Report(self.name, seed)
        with ExitStack() as stack:
            url = stack.enter_context(database(self._url))
            stack.enter_context(self._ears.listening())
            base, sides = stack.enter_context(_serving(url))
            began = time.monotonic()
            numbers = Random(seed)
            while not limits.reached(report, began):
                self._batch(base, sides, numbers.randrange(1 << 32), report)
            report.seconds = time.monotonic() - began
        return report

    def _batch(self, base: str, sides: tuple[Side, Side], seed: int, report: Report) -> None:
        machine = _machine(base, sides, self._ears, Random(seed), report)
        settings = hypothesis.settings(
            max_examples=BATCH, stateful_step_count=STEPS, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck), verbosity=hypothesis.Verbosity.quiet,
        )  # fmt: skip
        # What is found is noted at once; a server that has a state answers nobody twice in the same way.
        with suppress(hypothesis.errors.Flaky, hypothesis.errors.FlakyStrategyDefinition):
            run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=settings)


def _note(report: Report, failures: FailureGroup) -> None:
    for failure in failures.exceptions:
        kind = f"{getattr(failure, 'operation', '')}: {getattr(failure, 'title', '')}"
        report.findings.setdefault(kind, f"{kind}: {str(failure)[:400]}")


def _machine(
    base: str, sides: tuple[Side, Side], ears: Ears, random: Random, report: Report
) -> type[Any]:
    schema = from_url(f"{base}/api/v1/openapi.json").exclude(path=LEFT_OUT)

    class Machine(schema.as_state_machine()):  # type: ignore[misc]
        speaker: ClassVar[tuple[Side, Side]] = sides

        def before_call(self, case: Any) -> None:
            self.speaker = sides if random.random() < 0.5 else sides[::-1]
            mine, theirs = self.speaker
            # Ids of either side, in place of made-up ones.
            for name in case.path_parameters or {}:
                if random.random() < 0.5:
                    case.path_parameters[name] = random.choice(sorted(mine.ids | theirs.ids))
            if case.method.upper() == "DELETE":
                spared = {side.key_id for side in sides}
                if str(case.path_parameters.get("key_id")) in spared:
                    case.path_parameters["key_id"] = "0" * 22
            report.executions += 1

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            token = self.speaker[0].tenant.key if random.random() < 0.97 else "headway_key_none"
            return {"headers": {"Authorization": f"Bearer {token}"}, "timeout": 30}

        def validate_response(
            self, response: Any, case: Any, additional_checks: Any = None, **_: Any
        ) -> None:
            mine, theirs = self.speaker
            sent = response.request
            body = (
                sent.body
                if isinstance(sent.body, str)
                else (sent.body or b"").decode(errors="replace")
            )
            asked = f"{requests.utils.unquote(sent.url or '')} {body}"
            served = response.content.decode(errors="replace") + json.dumps(
                dict(response.headers), default=str
            )
            report.answers.add((case.operation.label, response.status_code))
            try:
                _judge(
                    response,
                    theirs,
                    f"{sent.url} {body[:300]}",
                    served,
                    asked,
                    case.operation.label,
                )
                ears.raise_what_was_heard()
                if response.status_code not in _GENERAL:
                    case.validate_response(response, checks=_CHECKS)
            except Finding as finding:
                report.findings.setdefault(finding.kind, str(finding))
            except FailureGroup as failures:
                _note(report, failures)
            _learn(mine, response)

    return Machine


def _judge(
    response: Any, theirs: Side, request: str, served: str, asked: str, operation: str
) -> None:
    where = f"{operation} {response.status_code}"
    # 503 is an answer that every operation describes: the database may be away.
    if response.status_code >= 500 and response.status_code != 503:
        raise Finding(f"{where}: {request}", where)
    if found := theirs.words_in(served, asked):
        raise Finding(
            f"{where} told the other workspace's {found}: {request}", f"{where} isolation"
        )


# Given by the server's guard, whatever is asked for: no operation describes them.
_GENERAL = {405, 421}
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def _learn(side: Side, response: Any) -> None:
    """What it was given is its own from then on."""
    if response.status_code == 201:
        made = response.json()
        for name in ("id", "run", "deployment"):
            if isinstance(made.get(name), str) and _IDS.fullmatch(made[name]):
                side.ids.add(made[name])


@contextmanager
def _serving(url: str) -> Iterator[tuple[str, tuple[Side, Side]]]:
    """The server in a thread with a loop of its own; its two workspaces are full of words."""
    ready: list[Any] = []
    is_ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serve_api(url) as api:
            sides = Side(api.one), Side(api.other)
            for side in sides:
                await _fill(side)
            ready.append((api.url, sides))
            is_ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=_run, args=(serve, is_ready), name="server")
    thread.start()
    is_ready.wait(60)
    try:
        yield ready[0]
    finally:
        over.set()
        thread.join(60)


def _run(serve: Callable[[], Any], is_ready: threading.Event) -> None:
    try:
        asyncio.run(serve())
    finally:
        is_ready.set()


async def _fill(side: Side) -> None:
    tenant, word = side.tenant, side.secret
    await enrol(tenant)
    deployed = await tenant.deploy(
        f"deployment-{word}", flow=f"flow-{word}", description=word, tags=[word]
    )
    run = await tenant.create_run(f"deployment-{word}", name=f"run-{word}", tags=[word])
    fleet = tenant.fleet
    await fleet.grant(UUID(run["id"]))
    error = attempt_pb2.Error(error_class=f"Error{word}")
    await fleet.report(UUID(run["id"]), 1, 1, [started(), call_ended(1), exited(error=error)])
    await tenant.create_run(f"deployment-{word}", name=f"waits-{word}")
    side.ids |= {run["id"], deployed["id"], str(fleet.agent), str(fleet.session), str(fleet.pool)}
