"""The event stream: history and live in one, gapless over reconnects, bounded whoever reads."""

import asyncio
from datetime import timedelta

import pytest

from headway_control_plane.http_api.services import HttpOptions
from support.http_server import Api, Tenant, enrol, frames, serve_api, take
from support.log_fixtures import calls, exited, started
from support.postgres import ScratchDatabase

pytestmark = pytest.mark.postgres


async def head_of(tenant: Tenant) -> str:
    return (await tenant.client.get("/log/head")).json()["cursor"]


async def test_history_and_live_are_one_sequence(api: Api) -> None:
    await api.one.deploy()
    await api.one.create_run()
    stored = (await api.one.client.get("/events")).json()["items"]

    async with api.one.client.stream("GET", "/events/stream?after=0:0") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        reader = frames(response)
        seen = []
        async with asyncio.timeout(20):
            async for frame in reader:
                if frame.event == "message":
                    seen.append(frame)
                if len(seen) == len(stored):
                    break
            live = await api.one.create_run()
            async for frame in reader:
                if frame.event == "message":
                    seen.append(frame)
                    break

    offsets = [int(frame.id.partition(":")[2]) for frame in seen]
    assert offsets == list(range(1, len(stored) + 2))
    assert [frame.json for frame in seen[:-1]] == stored
    assert seen[-1].json["stream"] == f"run/{live['id']}"
    assert seen[-1].json["type"] == "RunCreated"


async def test_a_reconnect_goes_on_behind_the_last_id(api: Api) -> None:
    await api.one.deploy()
    for _ in range(3):
        await api.one.create_run()
    everything = (await api.one.client.get("/events")).json()["items"]

    seen: list[str] = []
    last = "0:0"
    while len(seen) < len(everything):
        headers = {"Last-Event-ID": last}
        async with api.one.client.stream(
            "GET", "/events/stream?after=0:0", headers=headers
        ) as response:
            [frame] = await take(response, 1)
        seen.append(frame.id)
        last = frame.id
        # Everything that was stored comes in one batch; only the first frame of it was taken.
    assert seen == [event["cursor"] for event in everything]


async def test_a_stream_of_one_run_holds_its_attempts_and_nothing_else(api: Api) -> None:
    await enrol(api.one)
    await api.one.deploy()
    run, noise = await api.one.create_run(), await api.one.create_run()
    async with api.one.client.stream(
        "GET", "/events/stream", params={"run": run["id"], "after": run["cursor"]}
    ) as response:
        fleet = api.one.fleet
        from uuid import UUID

        run_id = UUID(run["id"])
        await fleet.grant(UUID(noise["id"]))
        await fleet.grant(run_id)
        await fleet.report(run_id, 1, 1, [started(), *calls(0, 2), exited()])
        seen = []
        async with asyncio.timeout(20):
            async for frame in frames(response):
                if frame.event == "message":
                    seen.append(frame.json)
                    if frame.json["type"] == "RunCompleted":
                        break
    assert {event["stream"] for event in seen} == {f"run/{run['id']}", f"attempt/{run['id']}/1"}
    assert [e["type"] for e in seen if e["stream"].startswith("run/")] == [
        "RunGranted",
        "RunStarted",
        "RunCompleted",
    ]
    assert sum(event["type"] == "CallEnded" for event in seen) == 2
    call = next(event for event in seen if event["type"] == "CallEnded")
    assert call["data"]["outcome"] == "completed"


async def test_another_epoch_is_a_typed_reset(api: Api) -> None:
    async with api.one.client.stream("GET", "/events/stream?after=7:3") as response:
        [frame] = await take(response, 1)
    assert (frame.event, frame.id) == ("reset", "0:0")
    assert frame.json["code"] == "epoch_changed"
    assert frame.json["hint"]
    read = await api.one.client.get("/events", params={"after": "7:3"})
    assert (read.status_code, read.json()["code"]) == (410, "epoch_changed")


async def test_silence_is_broken_and_progress_is_told(database: ScratchDatabase) -> None:
    options = HttpOptions(heartbeat=timedelta(milliseconds=50))
    async with serve_api(database.url, options=options) as api:
        await api.one.deploy()
        run = await api.one.create_run()
        path = f"/events/stream?run={run['id']}&after={run['cursor']}"
        async with api.one.client.stream("GET", path) as response:
            reader = frames(response)
            async with asyncio.timeout(20):
                async for frame in reader:
                    if frame.event == "comment":
                        break
                await api.one.create_run()
                head = await head_of(api.one)
                async for frame in reader:
                    if frame.event == "bookmark" and frame.id == head:
                        break


async def test_a_workspace_has_a_bounded_number_of_streams(database: ScratchDatabase) -> None:
    options = HttpOptions(streams_of_workspace=1, heartbeat=timedelta(milliseconds=50))
    async with serve_api(database.url, options=options) as api:
        async with api.one.client.stream("GET", "/events/stream") as first:
            assert first.status_code == 200
            refused = await api.one.client.get("/events/stream")
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            async with api.other.client.stream("GET", "/events/stream") as another:
                assert another.status_code == 200
        async with asyncio.timeout(20):
            while api.app.state.stream_places._open:
                await asyncio.sleep(0)
        async with api.one.client.stream("GET", "/events/stream") as again:
            assert again.status_code == 200


async def test_streams_end_when_they_are_old_and_when_the_process_drains(
    database: ScratchDatabase,
) -> None:
    options = HttpOptions(
        stream_age=timedelta(milliseconds=100), heartbeat=timedelta(milliseconds=30)
    )
    async with (
        serve_api(database.url, options=options) as api,
        asyncio.timeout(20),
        api.one.client.stream("GET", "/events/stream") as response,
    ):
        async for _ in frames(response):
            pass
    async with serve_api(database.url) as api:
        async with asyncio.timeout(20), api.one.client.stream("GET", "/events/stream") as response:
            api.services.closing.set()
            async for _ in frames(response):
                pass
        assert (await api.one.client.get("/ready")).status_code == 503


@pytest.mark.parametrize("busy", [False, True])
async def test_a_stream_ends_soon_after_its_key_was_revoked(
    database: ScratchDatabase, busy: bool
) -> None:
    """Also one that always has something to tell, and so never a heartbeat."""
    options = HttpOptions(heartbeat=timedelta(milliseconds=50))
    async with serve_api(database.url, options=options) as api, asyncio.timeout(30):
        await api.one.deploy()
        made = (await api.one.client.post("/api-keys", json={"name": "follower"})).json()
        headers = {"Authorization": f"Bearer {made['key']}"}
        async with (
            api.new_client(headers=headers) as client,
            client.stream("GET", "/events/stream") as response,
        ):
            reader = frames(response)
            while (await anext(reader)).event != "comment":
                pass  # it outlived a look at its key
            revoked = await api.one.client.delete(f"/api-keys/{made['id']}")
            assert revoked.status_code == 204
            async for _ in reader:
                if busy:
                    await api.one.create_run()


async def test_newest_events_and_pages_agree(api: Api) -> None:
    await api.one.deploy()
    for _ in range(4):
        await api.one.create_run()
    everything = (await api.one.client.get("/events")).json()["items"]
    newest = (await api.one.client.get("/events?newest=true&limit=2")).json()
    assert newest["items"] == everything[-2:]
    assert newest["next"] == everything[-1]["cursor"]

    paged, after = [], "0:0"
    while True:
        page = (await api.one.client.get("/events", params={"after": after, "limit": 2})).json()
        if not page["items"]:
            break
        paged += page["items"]
        after = page["next"]
    assert paged == everything
    for bad in ("x", "1:", "-1:2", "1:2:3"):
        answer = await api.one.client.get("/events", params={"after": bad})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")
