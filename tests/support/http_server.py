"""The REST API over a real log, served by a real uvicorn on a real socket, with two workspaces that must not see each other."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx
import pytest
from fastapi import FastAPI

from headway_control_plane.application.api_keys import issue_api_key
from headway_control_plane.application.bootstrap import bootstrap
from headway_control_plane.clock import SystemClock
from headway_control_plane.db.credential_store import CredentialStore
from headway_control_plane.db.pool import Database, PoolOptions
from headway_control_plane.http_api.app import create_app
from headway_control_plane.http_api.services import HttpOptions, Services
from headway_control_plane.ids import Uuid7Source
from headway_control_plane.log.committer import Committer
from headway_control_plane.log.heads import HeadWatch
from headway_control_plane.log.reader import Reader
from headway_control_plane.main.http_server import HttpServer
from headway_control_plane.projections.catalogue import RowCatalogue
from headway_control_plane.projections.reading import Reads
from support.log_fixtures import ALL_ROLES, Fleet
from support.postgres import ScratchDatabase

SCHEMA = {
    "type": "object",
    "properties": {"region": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
    "required": ["region"],
    "additionalProperties": False,
}


@dataclass
class Tenant:
    """A workspace, its key, and a client that carries it."""

    ws: int
    key: str
    client: httpx.AsyncClient
    fleet: Fleet

    async def deploy(self, name: str = "nightly", **changes) -> dict:
        body = {
            "name": name,
            "flow": "nightly-etl",
            "pool": "local",
            "entrypoint": "flows.etl:nightly",
            "parameter_schema": SCHEMA,
            "defaults": {"limit": 10},
            "tags": ["etl"],
        }
        answer = await self.client.post("/deployments", json=body | changes)
        answer.raise_for_status()
        return answer.json()

    async def create_run(self, deployment: str = "nightly", **changes) -> dict:
        body = {"deployment": deployment, "parameters": {"region": "eu"}}
        answer = await self.client.post("/runs", json=body | changes)
        answer.raise_for_status()
        return answer.json()


@dataclass
class Api:
    """The server as tests reach it."""

    url: str
    app: FastAPI
    services: Services
    database: Database
    one: Tenant
    other: Tenant
    new_client: Callable[..., httpx.AsyncClient] = field(repr=False)


@asynccontextmanager
async def serve_api(
    url: str, *, options: HttpOptions | None = None, port: int = 0
) -> AsyncIterator[Api]:
    clock = SystemClock()
    ids = Uuid7Source(clock, os.urandom)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(url, ALL_ROLES, PoolOptions(max_size=4))
        )
        log = await stack.enter_async_context(
            Committer(
                database, clock=clock, ids=ids, entropy=os.urandom, random=random.Random(1).random
            )
        )
        heads = await stack.enter_async_context(HeadWatch(database, log))
        reads = Reads(database)
        services = Services(
            log=log,
            reader=Reader(database, heads=heads),
            reads=reads,
            catalogue=RowCatalogue(reads),
            credentials=CredentialStore(database),
            ids=ids,
            clock=clock,
            entropy=os.urandom,
            options=options or HttpOptions(),
        )
        app = create_app(services)
        server = await stack.enter_async_context(
            HttpServer(app, "127.0.0.1", port, drain_timeout=1)
        )
        stack.callback(services.closing.set)
        base = f"http://127.0.0.1:{server.port}"

        def new_client(**more) -> httpx.AsyncClient:
            return httpx.AsyncClient(base_url=f"{base}/api/v1", timeout=20, trust_env=False, **more)

        tenants = []
        for name in ("one", "other"):
            tenant = await _found(services, database, name, new_client)
            stack.push_async_callback(tenant.client.aclose)
            tenants.append(tenant)
        yield Api(base, app, services, database, *tenants, new_client)


async def _found(services: Services, database: Database, name: str, new_client) -> Tenant:
    made = await bootstrap(
        services.log, services.catalogue, services.ids, workspace=name, pool="local"
    )
    key = await issue_api_key(
        services.credentials, services.entropy, services.clock, made.workspace.ws, name="test"
    )
    client = new_client(headers={"Authorization": f"Bearer {key.text}"})
    fleet = Fleet(services.log, made.workspace, services.ids)
    fleet.pool = made.pool.pool
    return Tenant(made.workspace.ws, key.text, client, fleet)


async def enrol(tenant: Tenant) -> None:
    """Give the workspace an agent with an open session, so that its runs can be granted."""
    from headway_control_plane.domain.commands import EnrolAgent

    fleet = tenant.fleet
    fleet.agent = fleet.new_id()
    await fleet.execute(EnrolAgent(fleet.agent, "agent-1", fleet.pool, b"k" * 32))
    fleet.session = await fleet.open_session()


@dataclass
class SseFrame:
    id: str = ""
    event: str = "message"
    data: str = ""

    @property
    def json(self) -> dict:
        return json.loads(self.data)


async def frames(response: httpx.Response) -> AsyncIterator[SseFrame]:
    """Parse server-sent events; comments are frames named `comment`."""
    frame = SseFrame()
    async for line in response.aiter_lines():
        if not line:
            if frame != SseFrame():
                yield frame
            frame = SseFrame()
        elif line.startswith(":"):
            yield SseFrame(event="comment", data=line[1:].strip())
        else:
            name, _, value = line.partition(": ")
            if name in {"id", "event", "data"}:
                frame = replace(frame, **{name: value})


async def take(response: httpx.Response, count: int) -> list[SseFrame]:
    """Take the first events and bookmarks of a stream, leaving comments out."""
    taken: list[SseFrame] = []
    async with asyncio.timeout(20):
        async for frame in frames(response):
            if frame.event != "comment":
                taken.append(frame)
            if len(taken) == count:
                break
    return taken


@pytest.fixture
async def api(database: ScratchDatabase) -> AsyncIterator[Api]:
    async with serve_api(database.url) as served:
        yield served
