"""The composition root: builds the agent from its settings and runs it until it is drained."""

import contextlib
import logging
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from importlib.metadata import version

import uvloop

from headway_agent.clock import SystemClock
from headway_agent.connection.channel import BadAddress
from headway_agent.connection.errors import Failure, Reaction
from headway_agent.connection.identity import Assertions, Identity
from headway_agent.connection.messages import Introduction
from headway_agent.connection.stream import GrpcStream
from headway_agent.connection.tap import Tap
from headway_agent.core.backoff import Policy
from headway_agent.core.session import Rules
from headway_agent.loops.attempts_loop import AttemptsLoop
from headway_agent.loops.cache_loop import CacheLoop
from headway_agent.loops.hub import Hub
from headway_agent.loops.lease_history import LeaseHistory
from headway_agent.loops.log_loop import LogLoop
from headway_agent.loops.record_loop import RecordLoop
from headway_agent.loops.renew_loop import RenewLoop
from headway_agent.loops.report_loop import ReportLoop
from headway_agent.loops.session_loop import SessionLoop
from headway_agent.loops.store_loop import StoreLoop
from headway_agent.loops.supervisor import Loop, supervise
from headway_agent.loops.watch_loop import WatchLoop
from headway_agent.main.enrolment import (
    PATIENCE_OF_START_S,
    NotEnrolled,
    enrol_agent,
    identity_of,
    target_of,
)
from headway_agent.main.signals import signals
from headway_agent.main.wiring import DbWitnesses
from headway_agent.observability import logs
from headway_agent.runner.attempts import Runner, RunnerOptions
from headway_agent.runner.launch import LaunchOptions
from headway_agent.runner.state_dir import StateDir, StateDirBusy
from headway_agent.settings import BadSetting, Settings, apply_results_env, read_token
from headway_agent.spool import records
from headway_agent.spool.agent_db import AgentDb, SpoolFault
from headway_agent.spool.shared_cache import SharedCache
from headway_agent.spool.value_store import StoreFault, open_store

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_SETTINGS = 2
EXIT_IDENTITY = 3
EXPLAINED = (BadSetting, BadAddress, NotEnrolled, StateDirBusy, SpoolFault, StoreFault, Failure)
"""Errors whose message tells the operator all; no traceback adds to them."""


def run(settings: Settings) -> int:
    """Runs the agent; gives the exit code of the process."""
    logs.configure(settings.log_level)
    try:
        uvloop.run(serve(settings))
    except EXPLAINED as error:
        log.critical("%s", error)
        return _exit_code(error)
    return 0


def _exit_code(error: Exception) -> int:
    if isinstance(error, BadSetting | BadAddress | StoreFault):
        return EXIT_SETTINGS
    refused = isinstance(error, Failure) and error.reaction is not Reaction.RETRY
    return EXIT_IDENTITY if refused or isinstance(error, NotEnrolled) else EXIT_FAILED


async def serve(settings: Settings) -> None:
    """The agent's life. A refused identity is renewed once where a token is at hand."""
    apply_results_env(settings)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        state_dir = stack.enter_context(contextlib.closing(StateDir(settings.state_dir)))
        db = stack.enter_context(contextlib.closing(AgentDb.open(state_dir.database)))
        identity = await identity_of(db, settings, clock.now_us)
        runner = await stack.enter_async_context(_runner(state_dir, db, settings, clock))
        tap = Tap(settings.tap, clock.now_us) if settings.tap else None
        if tap is not None:
            stack.enter_context(tap)
        try:
            await converse(settings, clock, db, runner, identity, tap)
        except Failure as failure:
            token = _new_token(settings) if failure.reaction is Reaction.REENROL else None
            if not token:
                raise
            log.warning("%s; enrolling again", failure)
            identity = await enrol_agent(
                db, settings, token, clock.now_us, patience_s=PATIENCE_OF_START_S
            )
            await converse(settings, clock, db, runner, identity, tap)


def _new_token(settings: Settings) -> str | None:
    """A token file may hold a fresh token by now, or be gone; a descriptor was read once and for all."""
    file = settings.token_file
    return read_token(settings) if file is not None and file.is_file() else None


@contextlib.asynccontextmanager
async def _runner(
    state_dir: StateDir, db: AgentDb, settings: Settings, clock: SystemClock
) -> AsyncIterator[Runner]:
    launch = LaunchOptions(
        settings.environments,
        settings.roots,
        settings.base_env,
        fault_file=settings.allow_faults,
        result_max=settings.result_max,
        has_store=bool(settings.results),
    )
    options = RunnerOptions(launch)
    runner = Runner(state_dir, db, options, clock)
    try:
        await runner.open()
        yield runner
    finally:
        await runner.close()


async def converse(
    settings: Settings,
    clock: SystemClock,
    db: AgentDb,
    runner: Runner,
    identity: Identity,
    tap: Tap | None,
) -> None:
    """Runs the loops under one identity."""
    target = target_of(settings, identity)
    new_id = uuid.uuid4  # noqa: TID251 (the composition root brings ids in)
    assertions = Assertions(identity, clock.now_us, lambda: str(new_id()))
    incarnation = await db.run(records.next_incarnation(clock.now_us()))
    who = Introduction(new_id(), version("headway-agent"), settings.host, incarnation)
    cap = settings.reconnect_cap
    rules = Rules(settings.slots, Policy(first=min(1.0, cap), cap=cap))
    hub = Hub(rules, who, runner, clock, random.SystemRandom())
    hub.results_url = settings.results
    runner.launcher.pool = identity.pool
    witnesses = DbWitnesses(db, clock.now_us)
    session_loop = SessionLoop(
        hub, lambda: GrpcStream(target, assertions, tap), assertions, witnesses, new_id
    )
    log.info("starting", extra={"server": target.authority, "pool": identity.pool})
    with (
        signals(hub, drain_wait=settings.drain_wait, parent_fd=settings.parent_fd),
        _lease_history(settings, identity, hub),
    ):
        await supervise(
            [
                Loop("renew", RenewLoop(hub).run),
                Loop("record", RecordLoop(hub, witnesses).run),
                Loop("session", session_loop.run, may_end=True),
                Loop("attempts", AttemptsLoop(hub).run),
                Loop("watch", WatchLoop(hub).run),
                Loop("report", ReportLoop(hub).run),
                Loop("log", LogLoop(hub).run),
                *_store_loops(settings, identity, hub, runner),
            ]
        )


def _store_loops(
    settings: Settings, identity: Identity, hub: Hub, runner: Runner
) -> Iterator[Loop]:
    if not settings.results:
        return
    store = open_store(settings.results)
    shared = SharedCache(store, identity.workspace_id, settings.result_max)
    fraction = hub.random.random
    yield Loop("store", StoreLoop(store, runner.take_started, fraction, shared=shared).run)
    paths = runner.cache_paths()
    yield Loop(
        "cache", CacheLoop(shared, *paths, hub.clock.monotonic, fraction, pool=identity.pool).run
    )


@contextlib.contextmanager
def _lease_history(settings: Settings, identity: Identity, hub: Hub) -> Iterator[None]:
    if settings.lease_history is None:
        yield
        return
    with LeaseHistory(settings.lease_history, identity.agent_id, hub.clock) as history:
        history.watch(hub)
        yield
