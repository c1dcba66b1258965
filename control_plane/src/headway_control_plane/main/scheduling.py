"""The parts that schedule and speak with agents, put together: shard leases, dispatcher, sweeper, the agents' server and its delivery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from headway_control_plane.application.credentials import Credentials
from headway_control_plane.application.ports import Hints, Log
from headway_control_plane.background.service import Service
from headway_control_plane.background.supervisor import Supervisor
from headway_control_plane.background.sweeper import Sweeper, SweeperSettings
from headway_control_plane.clock import Clock
from headway_control_plane.db.pool import Database
from headway_control_plane.dispatch.dispatcher import Dispatcher, DispatcherSettings
from headway_control_plane.dispatch.ownership import LeaseTerms
from headway_control_plane.dispatch.rows import DispatchRows
from headway_control_plane.dispatch.shards import ShardLeases
from headway_control_plane.grpc_api.server import AgentServer
from headway_control_plane.grpc_api.settings import AgentServerSettings
from headway_control_plane.ids import IdSource


@dataclass(frozen=True, slots=True)
class SchedulingSettings:
    agents: AgentServerSettings = field(default_factory=AgentServerSettings)
    sweeper: SweeperSettings = field(default_factory=SweeperSettings)
    dispatcher: DispatcherSettings = field(default_factory=DispatcherSettings)
    shards: LeaseTerms = field(default_factory=LeaseTerms)


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What runs. `until_broken` waits for as long as all of it is whole and raises what broke."""

    shards: ShardLeases
    dispatcher: Dispatcher
    sweeper: Sweeper
    server: AgentServer
    until_broken: Callable[[], Awaitable[None]]


@asynccontextmanager
async def scheduling(
    database: Database,
    log: Log,
    credentials: Credentials,
    clock: Clock,
    ids: IdSource,
    random: Random,
    settings: SchedulingSettings,
    *,
    replica: UUID,
    hints: Hints | None = None,
    address: str = "",
) -> AsyncIterator[Scheduling]:
    """Run them. On the way out agents are asked to move first, then the shards are given up, so that others take over at once."""
    shards = ShardLeases(database, clock, replica=replica, address=address, terms=settings.shards)
    sweeper = Sweeper(database, log, shards, clock, settings.sweeper)
    dispatcher = Dispatcher(
        DispatchRows(database), log, shards, clock, settings=settings.dispatcher
    )
    server = AgentServer(
        database,
        log,
        credentials,
        clock,
        ids,
        random,
        settings.agents,
        replica=replica,
        alone=lambda: shards.alone,
        hints=hints,
    )
    dispatching = Service(dispatcher, random=random, prompt=True)
    delivering = Service(server.delivery, random=random)
    dispatcher.on_wake(dispatching.wake)
    server.on_wake(delivering.wake)
    shards.on_change(sweeper.on_shards)
    shards.on_change(dispatcher.on_shards)
    ends = [log.on_commit(dispatcher.on_commit), log.on_commit(sweeper.on_commit)]
    if hints is not None:
        ends.append(hints.on_hint(dispatcher.on_hint))
    supervisor = Supervisor(
        [
            Service(shards, random=random, prompt=True),
            Service(sweeper, random=random),
            dispatching,
            delivering,
        ]
    )
    try:
        async with supervisor, server:
            yield Scheduling(shards, dispatcher, sweeper, server, supervisor.wait)
    finally:
        for end in ends:
            end()
        await dispatcher.stop()
        await shards.retire()
