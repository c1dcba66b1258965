"""Events that cannot be stored, through the agent's stream and through the REST API, under load: refused one by one, and nobody else notices."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from uuid import UUID

import grpc
import pytest

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.event.v1 import attempt_pb2
from support.fake_agent import FakeAgent, enrol, exited, fact, started, starting
from support.hand_agent import make_pool
from support.load import load

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(300)]

POOL = "poisoned"
MEBIBYTE = 1 << 20


def raw(payload: bytes, type_: str = "CallEnded", version: int = 1, at_us: int = 1) -> pb.Fact:
    return pb.Fact(type=type_, schema_version=version, occurred_at_us=at_us, payload=payload)


POISONS = {
    "bad protobuf": raw(b"\xff\xff\xff"),
    "no name of a type": raw(b"", "no name"),
    "an event of the control plane": raw(b"", "RunFailed"),
    "1.1 MB": raw(bytes(1_100_000), "Unheard"),
    "NUL": fact(
        attempt_pb2.AttemptExited(outcome=attempt_pb2.ATTEMPT_OUTCOME_FAILED, cause="a\0b")
    ),
    "invalid UTF-8": raw(b"\x22\x02\xc0\x80"),
    "depth 10,000": raw(b"\x9b\x06" * 10_000),
    "no outcome": fact(attempt_pb2.AttemptExited()),
    "an instant of no calendar": raw(b"", at_us=2**63 - 1),
    "a version of no number": raw(b"", version=-1),
}
NEWER = {
    "a type of a newer agent": raw(b"\xff\xff\xff", "CallDreamt"),
    "a newer version of a type": raw(b"\xff\xff\xff", version=2),
}
"""What this control plane cannot read, and keeps: agents may be newer than it (`headway_api/event/v1/attempt.proto`)."""
DROPPED = fact(attempt_pb2.FactDropped(type="CallEnded", reason="refused"))


async def poison(headway, trial) -> str:
    """One attempt that reports each of them, replaces it as the protocol says, goes on, and ends well."""
    token = headway.api("POST", "/enrolment-tokens", {"pool": POOL})["token"]
    target = f"127.0.0.1:{headway.grpc_port}"
    async with FakeAgent(target, await enrol(target, token, "poisoner")) as agent:
        await agent.connect()
        run = UUID(headway.start_run("poisoned", path="nowhere"))
        await agent.assigned(run)
        await agent.report(run, 1, 1, [starting(), started()])
        seq = 2
        for what, bad in POISONS.items():
            answer = await agent.report(run, 1, seq + 1, [bad])
            told = answer.verdict == pb.VERDICT_POISON and answer.last_seq == seq and answer.reason
            trial.holds("refused one by one", () if told else [f"{what}: {answer}"])
            trial.happened("poison event sent by an agent")
            answer = await agent.report(run, 1, seq + 1, [DROPPED])
            seq += 1
            trial.holds(
                "the attempt goes on", () if answer.last_seq == seq else [f"{what}: {answer}"]
            )
        for what, newer in NEWER.items():
            answer = await agent.report(run, 1, seq + 1, [newer])
            seq += 1
            kept = answer.verdict == pb.VERDICT_OK and answer.last_seq == seq
            trial.holds("what is newer is kept", () if kept else [f"{what}: {answer}"])
            trial.happened("fact that only newer ones can read")
        await agent.send(
            facts=pb.FactBatch(
                id=9_999, attempts=[pb.AttemptFacts(facts=[raw(bytes(10 * MEBIBYTE))])]
            )
        )
        ended = await agent.until_ended()
        refused = ended.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        trial.holds("10 MB end one stream", () if refused else [str(ended)])
        trial.happened("10 MB sent by an agent")
        await agent.cut()
        await agent.connect((run, 1, seq, True))
        await agent.report(run, 1, seq + 1, [exited()])
        return str(run)


REQUESTS = {
    "10 MB": b'{"deployment": "one-step", "parameters": {"path": "' + b"x" * 10 * MEBIBYTE + b'"}}',
    "no JSON": b"{",
    "NUL": b'{"deployment": "\\u0000"}',
    "NUL in a parameter": b'{"deployment": "one-step", "parameters": {"path": "\\u0000"}}',
    "half of a pair": b'{"deployment": "one-step", "parameters": {"path": "\\ud800"}}',
    "invalid UTF-8": b'{"deployment": "\xc0\x80"}',
    "depth 10,000": b'{"deployment": "one-step", "parameters": {"path": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
    "no number": b'{"deployment": "one-step", "parameters": {"path": NaN}}',
    "an unknown field": b'{"deployment": "one-step", "surprise": 1}',
}  # fmt: skip


def answer_to(headway, body: bytes) -> int:
    head = {"Authorization": f"Bearer {headway.api.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{headway.api.url}/api/v1/runs", body, head, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionError):
            raise
        return 413  # it was answered, and the connection closed, before all of it was sent


@pytest.mark.row(17)
def test_what_cannot_be_stored_is_refused_and_nobody_else_notices(headway, trial):
    make_pool(headway, POOL)
    headway.deploy("effects:one_step", "poisoned", "--pool", POOL)
    with load(headway, per_second=1.0, seconds=0.02) as work:
        work.until_more_marks(3)
        run = asyncio.run(poison(headway, trial))
        for what, body in REQUESTS.items():
            status = answer_to(headway, body)
            trial.holds("refused by the API", () if 400 <= status < 500 else [f"{what}: {status}"])
            trial.happened("poison request")
        work.until_more_marks(3)
        work.drain()
    ended = headway.ended(run)
    trial.holds("its run ends", () if ended["state"] == "completed" else [str(ended)])
    told = headway.api("GET", f"/runs/{run}/events?limit=500")["items"]
    dropped = [event for event in told if event["type"] == "FactDropped"]
    trial.holds(
        "each is told of",
        () if len(dropped) == len(POISONS) else [f"{len(dropped)} of {len(POISONS)}"],
    )
    work.judge(trial)
