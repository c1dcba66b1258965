"""Event streams of two busy workspaces: no byte of one in the other's, no place of one's log that means anything in the other's."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import pytest

from headway_api.event.v1 import attempt_pb2
from support.http_server import Api, Tenant, enrol, serve_api, take
from support.log_fixtures import call_ended, exited, fact, started
from support.postgres import ScratchDatabase

pytestmark = pytest.mark.postgres

RUNS = 25


@pytest.fixture
async def api(database: ScratchDatabase) -> AsyncIterator[Api]:
    async with serve_api(database.url) as served:
        yield served


@dataclass
class Busy:
    """A tenant under load. `words` and `ids` stand in its events and must stand in no other's."""

    tenant: Tenant
    secret: str = field(default_factory=lambda: secrets.token_hex(8))
    ids: set[str] = field(default_factory=set)

    async def begin(self) -> None:
        await enrol(self.tenant)
        await self.tenant.deploy(f"deployment-{self.secret}", flow=f"flow-{self.secret}")
        fleet = self.tenant.fleet
        self.ids |= {str(each) for each in (fleet.agent, fleet.session, fleet.pool)}

    async def work(self) -> None:
        fleet = self.tenant.fleet
        for n in range(RUNS):
            made = await self.tenant.create_run(
                f"deployment-{self.secret}", name=f"run-{self.secret}"
            )
            run = UUID(made["id"])
            self.ids.add(made["id"])
            await fleet.grant(run)
            told = attempt_pb2.CallStarted(call=n.to_bytes(16), name=f"task-{self.secret}")
            verdict = await fleet.report(
                run, 1, 1, [started(), fact(told), call_ended(n), exited(error=self.error())]
            )
            assert verdict.last_seq == 4

    def error(self) -> attempt_pb2.Error:
        return attempt_pb2.Error(error_class=f"Error{self.secret}")

    @property
    def marks(self) -> list[bytes]:
        return [word.encode() for word in (self.secret, *self.ids)]


async def listen(
    client: httpx.AsyncClient, path: str, until: asyncio.Event, **headers: str
) -> bytes:
    """Every byte of a stream, to its head as it was when told to stop."""
    heard = bytearray()
    async with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        last = ""
        async for piece in response.aiter_bytes():
            heard += piece
            if until.is_set():
                last = last or (await client.get("/log/head")).json()["cursor"]
                if f"id: {last}\n".encode() in heard:
                    return bytes(heard)
    raise AssertionError("the stream ended")


async def test_busy_streams_hold_their_own_workspace_alone(api: Api) -> None:
    busy = [Busy(api.one), Busy(api.other)]
    done = asyncio.Event()
    for each in busy:
        await each.begin()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        listeners = [
            group.create_task(listen(each.tenant.client, f"/events/stream?after={after}", done))
            for each in busy
            for after in ("0:0", (await each.tenant.client.get("/log/head")).json()["cursor"])
        ]
        work = [group.create_task(each.work()) for each in busy for _ in range(2)]
        await asyncio.gather(*work)
        done.set()
        # Something after the end, so that every stream has something to end with.
        for each in busy:
            await each.tenant.create_run(f"deployment-{each.secret}")
    heard = [listener.result() for listener in listeners]
    for own, other, streams in ((busy[0], busy[1], heard[:2]), (busy[1], busy[0], heard[2:])):
        for stream in streams:
            assert own.secret.encode() in stream
            assert stream.count(b'"RunGranted"') == 2 * RUNS
            assert [mark for mark in other.marks if mark in stream] == []


async def head_of(tenant: Tenant) -> str:
    return (await tenant.client.get("/log/head")).json()["cursor"]


async def made_up(tenant: Tenant, offset: int) -> str:
    """A cursor of the tenant's own epoch that no log has reached."""
    return f"{(await head_of(tenant)).partition(':')[0]}:{offset}"


async def test_places_in_anothers_log_tell_nothing_of_it(api: Api) -> None:
    """Their head, further than our own log goes: the same answers as for any place beyond it."""
    other = Busy(api.other)
    await other.begin()
    await other.work()
    await api.one.deploy()
    await api.one.create_run()
    theirs = await head_of(api.other)
    control = await made_up(api.one, int(theirs.partition(":")[2]) + 1000)
    for path in ("/events?after={}", "/runs?min_offset={}", "/events?after={}&limit=1"):
        answers = []
        for cursor in (theirs, control):
            answer = await api.one.client.get(path.format(cursor))
            assert [mark for mark in other.marks if mark in answer.content] == []
            answers.append((answer.status_code, comparable(answer, cursor)))
        assert answers[0] == answers[1], path


def comparable(answer: httpx.Response, asked: str) -> str:
    return json.dumps({k: v for k, v in answer.json().items() if k != "request_id"}).replace(
        asked, "ASKED"
    )


async def test_a_stream_from_anothers_place_begins_with_our_own_next_event(api: Api) -> None:
    other = Busy(api.other)
    await other.begin()
    await api.one.deploy()
    behind = (await api.other.client.get("/events?limit=2")).json()["next"]
    headers = {"Last-Event-ID": behind}
    async with api.one.client.stream("GET", "/events/stream", headers=headers) as response:
        [frame] = await take(response, 1)
    ours = (await api.one.client.get(f"/events?after={behind}&limit=1")).json()["items"][0]
    assert frame.json == ours
    assert [mark for mark in other.marks if mark in frame.data.encode()] == []


async def test_lists_are_not_turned_by_anothers_cursors(api: Api) -> None:
    """A page cursor is a place in an order, not a right: with theirs we get a page of ours, or a refusal."""
    other = Busy(api.other)
    await other.begin()
    await other.work()
    await api.one.deploy()
    for _ in range(3):
        await api.one.create_run()
    for path in ("/runs", "/deployments", "/agents", "/pools", "/api-keys"):
        page = (await api.other.client.get(f"{path}?limit=1")).json()
        cursor = page.get("next") if isinstance(page, dict) else None
        if cursor is None:
            continue
        answer = await api.one.client.get(path, params={"cursor": cursor, "limit": 100})
        assert answer.status_code in {200, 400, 422}
        assert [mark for mark in other.marks if mark in answer.content] == []
