"""The UI as people reach it: log, projector, REST API and pages on one uvicorn, in a thread with a loop of its own.

Browser tests are synchronous; `call` runs a coroutine in the server's loop and waits for it.
"""

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import psycopg

from headway_control_plane.application.api_keys import issue_api_key
from headway_control_plane.application.bootstrap import bootstrap
from headway_control_plane.application.create_pool import DATA_CLASSES
from headway_control_plane.background.projector import Projector
from headway_control_plane.background.service import Service
from headway_control_plane.clock import SystemClock
from headway_control_plane.db.credential_store import CredentialStore
from headway_control_plane.db.pool import Database, PoolOptions
from headway_control_plane.http_api.app import create_app
from headway_control_plane.http_api.services import Services as ApiServices
from headway_control_plane.ids import Uuid7Source
from headway_control_plane.log.committer import Committer
from headway_control_plane.log.heads import HeadWatch
from headway_control_plane.log.reader import Reader
from headway_control_plane.main.http_server import HttpServer
from headway_control_plane.projections.catalogue import RowCatalogue
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.reading import Reads
from headway_control_plane.projections.task_timeline import TaskTimeline
from headway_control_plane.ui.routes import routes
from headway_control_plane.ui.services import Services
from headway_control_plane.ui.sessions import CookieSessions
from support.log_fixtures import ALL_ROLES, open_log
from support.ui_world import World

_PATIENCE = 60.0


class AllShards:
    """This replica is alone."""

    def held(self):
        return dict.fromkeys(range(1024), 1)


@dataclass
class UiServer:
    """A server that serves. `token` signs in; `world` fills the log."""

    url: str
    token: str
    world: World
    engine: ProjectionEngine
    database: Database
    loop: asyncio.AbstractEventLoop
    database_url: str
    closing: asyncio.Event
    pages: Services

    def call(self, make: Callable[[], Awaitable]):
        """Run a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(make(), self.loop).result(_PATIENCE)

    def past(self, offset: str, make: Callable[[], Awaitable]):
        """Run a coroutine while the database's clock, for what it writes, stands at another time. Go forward only."""
        return self.call(lambda: self._past(offset, make))

    async def _past(self, offset: str, make: Callable[[], Awaitable]):
        live = self.world.log
        set_clock(self.database_url, offset)
        try:
            async with open_log(self.database_url) as self.world.log:
                return await make()
        finally:
            self.world.log = live
            set_clock(self.database_url, "0")

    def settle(self) -> None:
        """Wait until views show all that the log holds."""
        self.call(self._settle)

    async def _settle(self) -> None:
        fresh = await self.engine.freshness(self.world.ws, "task_timeline")
        shown = await self.engine.wait_until(self.world.ws, "task_timeline", fresh.head, seconds=30)
        assert shown, "the projection does not catch up"


@asynccontextmanager
async def ui_services(url: str, *, permits=DATA_CLASSES) -> AsyncIterator[UiServer]:
    """Serve on a real socket, in this loop."""
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
        reader = Reader(database, heads=heads)
        reads = Reads(database)
        catalogue = RowCatalogue(reads)
        credentials = CredentialStore(database)
        engine = ProjectionEngine(database, reader, [TaskTimeline()])
        await engine.prepare()
        work = Projector(engine, AllShards(), clock)
        projector = Service(work, random=random.Random(1), prompt=True)
        engine.on_mark(projector.wake)
        stack.callback(log.on_commit(work.on_commit))
        projector.start()
        stack.push_async_callback(projector.stop)
        sessions = CookieSessions(credentials, reads, clock, secure=False)
        api = ApiServices(
            log, reader, reads, catalogue, credentials, ids, clock, os.urandom, sessions
        )
        app = create_app(api)
        pages = Services(
            reads=reads, reader=reader, log=log, catalogue=catalogue, engine=engine,
            sessions=sessions, ids=ids, clock=clock, entropy=os.urandom, closing=api.closing,
        )  # fmt: skip
        app.router.routes.extend(routes(pages))
        made = await _bootstrap_yesterday(url, catalogue, ids, permits)
        key = await issue_api_key(credentials, os.urandom, clock, made.workspace.ws, name="test")
        world = World(log, made.workspace.ws, made.pool.pool, ids, url)
        server = await stack.enter_async_context(HttpServer(app, "127.0.0.1", 0, drain_timeout=1))
        stack.callback(api.closing.set)
        yield UiServer(
            f"http://127.0.0.1:{server.port}", key.text, world, engine, database,
            asyncio.get_running_loop(), url, api.closing, pages,
        )  # fmt: skip


async def _bootstrap_yesterday(url: str, catalogue, ids, permits):
    """Time in a log never goes back, so a workspace with a history must be older than it."""
    set_clock(url, "-2 days")
    try:
        async with open_log(url) as log:
            return await bootstrap(
                log, catalogue, ids, workspace="acme", pool="local", permits=permits
            )
    finally:
        set_clock(url, "0")


@contextmanager
def serve_ui(url: str, **options) -> Iterator[UiServer]:
    """Serve from a thread, for as long as the block lasts."""
    ready: asyncio.Queue | None = None
    started = threading.Event()
    outcome: list = []

    async def main() -> None:
        nonlocal ready
        ready = asyncio.Queue()
        async with ui_services(url, **options) as server:
            outcome.append(server)
            started.set()
            await ready.get()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            outcome.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="ui server")
    thread.start()
    assert started.wait(_PATIENCE), "the server does not start"
    try:
        if not isinstance(outcome[0], UiServer):
            raise outcome[0]
        yield outcome[0]
    finally:
        if isinstance(outcome[0], UiServer) and ready is not None:
            outcome[0].loop.call_soon_threadsafe(ready.put_nowait, None)
        thread.join(_PATIENCE)


def set_clock(url: str, offset: str) -> None:
    """Move the time of new connections to a database, so that a history can be written in seconds."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE \"{name}\" SET headway.clock_offset = '{offset}'")
