"""Puts the control plane together: the one place that knows every part and what each is made from."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from headway_control_plane.application.ports import Hints, Log, LogReader
from headway_control_plane.background.children import Children
from headway_control_plane.background.projector import Projector
from headway_control_plane.background.service import Service, Work
from headway_control_plane.background.supervisor import Supervisor
from headway_control_plane.background.sweeper import Sweeper, SweeperSettings
from headway_control_plane.db.credential_store import CredentialStore
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.dispatch.dispatcher import Dispatcher
from headway_control_plane.dispatch.ownership import LeaseTerms
from headway_control_plane.dispatch.rows import DispatchRows
from headway_control_plane.dispatch.shards import ShardLeases
from headway_control_plane.grpc_api.server import AgentServer
from headway_control_plane.grpc_api.settings import AgentServerSettings, Tls
from headway_control_plane.http_api.app import create_app
from headway_control_plane.http_api.services import LOOPBACK_HOSTS, HttpOptions, Services
from headway_control_plane.log.heads import HeadWatch
from headway_control_plane.log.hints import NotifyHints
from headway_control_plane.log.housekeeping import ForgetKeys, MakeSegments
from headway_control_plane.log.reader import Reader
from headway_control_plane.log.segments import Segments
from headway_control_plane.main.http_server import HttpServer
from headway_control_plane.main.sources import Sources
from headway_control_plane.main.stores import make_log, make_policy, open_database
from headway_control_plane.projections.catalogue import RowCatalogue
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.reading import Reads
from headway_control_plane.projections.task_timeline import TaskTimeline
from headway_control_plane.settings import Settings, is_loopback
from headway_control_plane.ui.routes import routes as ui_routes
from headway_control_plane.ui.services import Services as PageServices
from headway_control_plane.ui.sessions import CookieSessions

UntilBroken = Callable[[], Awaitable[object]]

_ROLES = (Role.APP, Role.COMMITTER, Role.PROJECTOR, Role.DISPATCHER, Role.AUTH, Role.MAINTENANCE)

# A database that takes longer serves nobody.
_ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Core:
    """What all parts of a replica stand on."""

    settings: Settings
    sources: Sources
    replica: UUID
    database: Database
    log: Log
    hints: Hints
    reader: LogReader


@asynccontextmanager
async def control_plane(settings: Settings) -> AsyncIterator[UntilBroken]:
    """Run everything that one replica runs. What serves people and agents is entered last, so that it leaves first.

    Yields a function that waits for as long as all of it is whole, and raises what broke.
    """
    sources = Sources.real()
    replica = sources.ids()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(open_database(settings, _ROLES))
        log = await enter(make_log(database, settings, sources))
        hints = await enter(NotifyHints(database, log, replica=replica))
        heads = await enter(HeadWatch(database, log, hints))
        core = Core(settings, sources, replica, database, log, hints, Reader(database, heads=heads))
        shards = ShardLeases(
            database,
            sources.clock,
            replica=replica,
            address=f"{settings.grpc_host}:{settings.grpc_port}",
            terms=LeaseTerms.scaled(timedelta(seconds=settings.replica_ttl)),
        )
        agents = _agent_server(core, shards)
        engine = ProjectionEngine(database, Reader(database, role=Role.PROJECTOR), [TaskTimeline()])
        await engine.prepare()
        loops = await enter(_loops(core, shards, agents, engine))
        await enter(agents)
        http = await enter(_http_server(core, engine))
        yield lambda: _first_to_break(loops.wait, http.until_broken)


@asynccontextmanager
async def _loops(
    core: Core, shards: ShardLeases, agents: AgentServer, engine: ProjectionEngine
) -> AsyncIterator[Supervisor]:
    """Run the services, each woken by what concerns it; at the end give the shards back."""
    clock = core.sources.clock
    dispatcher = Dispatcher(DispatchRows(core.database), core.log, shards, clock)
    dispatching = _service(core, dispatcher, prompt=True, recover=dispatcher.recover)
    projector = Projector(engine, shards, clock)
    projecting = _service(core, projector)
    sweeper = Sweeper(core.database, core.log, shards, clock, _sweeper_settings(core.settings))
    delivering = _service(core, agents.delivery, prompt=True)
    catalogue = RowCatalogue(Reads(core.database))
    children = Children(core.database, core.log, catalogue, shards, clock)
    starting = _service(core, children, prompt=True)

    dispatcher.on_wake(dispatching.wake)
    core.log.foresee_with(dispatcher.foresee)
    engine.on_mark(projecting.wake)
    agents.on_wake(delivering.wake)
    children.on_wake(starting.wake)
    shards.on_change(dispatcher.on_shards)
    shards.on_change(sweeper.on_shards)
    listeners = [
        core.log.on_commit(sweeper.on_commit),
        core.log.on_commit(dispatcher.on_commit),
        core.log.on_commit(projector.on_commit),
        core.log.on_commit(children.on_commit),
        core.hints.on_remote_hint(dispatcher.on_hint),
        core.hints.on_remote_hint(projector.on_hint),
    ]
    leasing = _service(core, shards, prompt=True)
    try:
        services = [
            leasing,
            dispatching,
            _service(core, sweeper),
            projecting,
            delivering,
            starting,
            *_housekeeping(core),
        ]
        async with Supervisor(services) as supervisor:
            yield supervisor
    finally:
        for end in listeners:
            end()
        await dispatcher.stop()
        await shards.retire()


def _housekeeping(core: Core) -> list[Service]:
    """What keeps the log's tables in shape; rare, and no replica's in particular."""
    segments = Segments(core.database, core.settings.segment_days_ahead)
    return [_service(core, MakeSegments(segments)), _service(core, ForgetKeys(core.database))]


def _sweeper_settings(settings: Settings) -> SweeperSettings:
    return SweeperSettings(
        policy=make_policy(settings),
        interval=timedelta(seconds=settings.sweep_interval),
        brake_hold=timedelta(seconds=settings.brake_limit),
    )


def _service(
    core: Core, work: Work, *, prompt: bool = False, recover: Callable[[], None] = lambda: None
) -> Service:
    return Service(work, random=core.sources.random, prompt=prompt, recover=recover)


def _agent_server(core: Core, shards: ShardLeases) -> AgentServer:
    settings = core.settings
    options = AgentServerSettings(
        address=f"{settings.grpc_host}:{settings.grpc_port}",
        tls=_tls(settings),
        behind_tls_proxy=settings.trusted_proxy,
        policy=make_policy(settings),
        stream_max_age=timedelta(seconds=settings.session_max_age),
        drain_grace=timedelta(seconds=settings.drain_timeout / 2),
        pages=_address_told(settings),
    )
    return AgentServer(
        core.database,
        core.log,
        CredentialStore(core.database),
        core.sources.clock,
        core.sources.ids,
        core.sources.random,
        options,
        replica=core.replica,
        alone=lambda: shards.alone,
        hints=core.hints,
    )


@asynccontextmanager
async def _http_server(core: Core, engine: ProjectionEngine) -> AsyncIterator[HttpServer]:
    """Serve REST API and UI; event streams are told to end before connections are waited for."""
    settings, closing = core.settings, asyncio.Event()
    reads = Reads(core.database)
    credentials = CredentialStore(core.database)
    sessions = CookieSessions(credentials, reads, core.sources.clock, secure=_over_tls(settings))
    services = Services(
        log=core.log,
        reader=core.reader,
        reads=reads,
        catalogue=RowCatalogue(reads),
        credentials=credentials,
        ids=core.sources.ids,
        clock=core.sources.clock,
        entropy=core.sources.entropy,
        sessions=sessions,
        options=HttpOptions(
            hosts=_host_names(settings),
            requests_of_workspace=settings.requests_of_workspace,
            requests_at_once=settings.pool_size // 2,
        ),
        closing=closing,
        is_ready=lambda: core.database.answers(Role.APP, _ANSWER_SECONDS),
    )
    app = create_app(services)
    app.router.routes.extend(ui_routes(_pages(core, services, sessions, engine)))
    server = HttpServer(
        app,
        settings.http_host,
        settings.http_port,
        drain_timeout=settings.drain_timeout / 2,
        request_timeout=settings.http_request_timeout,
        tls=_tls_files(settings),
    )
    async with server:
        try:
            yield server
        finally:
            closing.set()


def _pages(
    core: Core, api: Services, sessions: CookieSessions, engine: ProjectionEngine
) -> PageServices:
    return PageServices(
        reads=api.reads,
        reader=api.reader,
        log=api.log,
        catalogue=api.catalogue,
        engine=engine,
        sessions=sessions,
        ids=core.sources.ids,
        clock=core.sources.clock,
        entropy=core.sources.entropy,
        closing=api.closing,
    )


def _address_told(settings: Settings) -> str:
    """The address of the UI that is told to flows: beyond this machine only what the operator says reaches it."""
    if settings.public_url or (is_loopback(settings.http_host) and settings.http_port):
        return settings.http_url
    return ""


def _over_tls(settings: Settings) -> bool:
    """Whether browsers reach us over TLS, ours or a proxy's: then their cookies never travel without it."""
    return _tls_files(settings) is not None or settings.public_url.startswith("https://")


async def _first_to_break(*waits: UntilBroken) -> None:
    """Wait until one of them returns or raises; none does while all is well."""
    tasks = [asyncio.ensure_future(wait()) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


def _host_names(settings: Settings) -> frozenset[str] | None:
    """Return the names by which we may be called; beyond loopback without a public URL a proxy has to check."""
    if settings.public_url:
        return LOOPBACK_HOSTS | {urlsplit(settings.public_url).hostname or ""}
    return LOOPBACK_HOSTS if is_loopback(settings.http_host) else None


def _tls(settings: Settings) -> Tls | None:
    files = _tls_files(settings)
    return Tls(files[0].read_bytes(), files[1].read_bytes()) if files else None


def _tls_files(settings: Settings) -> tuple[Path, Path] | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return settings.tls_certificate, settings.tls_key
