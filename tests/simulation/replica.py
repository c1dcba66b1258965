"""A replica of the control plane: the production parts over the modelled database and network, one process life after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from headway_control_plane.application.ports import Committed, Reaction
from headway_control_plane.background.children import Children
from headway_control_plane.background.service import Service, Work
from headway_control_plane.background.sweeper import Sweeper, SweeperSettings
from headway_control_plane.dispatch.dispatcher import Dispatcher
from headway_control_plane.dispatch.quarantine import Quarantine
from headway_control_plane.dispatch.rows import DispatchRows
from headway_control_plane.dispatch.shards import ShardLeases
from headway_control_plane.domain.commands import Command
from headway_control_plane.grpc_api.auth import AgentIdentity
from headway_control_plane.grpc_api.server import AgentServer
from headway_control_plane.grpc_api.settings import MEBIBYTE, AgentServerSettings, Limits
from headway_control_plane.log.committer import Committer
from simulation.access import Access, Flusher
from simulation.database import Database
from simulation.families import Catalog
from simulation.faults import Faults
from simulation.network import Call
from simulation.statements import Statements
from simulation.world import Clock, Loop, World

SWEEP = timedelta(seconds=5)


class Hints:
    """Datagrams between replicas: lost, doubled, late."""

    def __init__(self, world: World, faults: Faults, replicas: list[Replica]) -> None:
        self._world = world
        self._faults = faults
        self._replicas = replicas

    def send(self, sender: Replica, shard: int) -> None:
        world, trouble = self._world, self._faults.hint_trouble
        for replica in self._replicas:
            if replica is sender:
                continue
            if world.chance(trouble * 0.5):
                world.happens("hint lost")
                continue
            copies = 1 + world.chance(trouble * 0.3)
            if copies > 1:
                world.happens("hint doubled")
            for _ in range(copies):
                late = world.chance(trouble * 0.3)
                if late:
                    world.happens("hint late")
                world.after(world.random.uniform(0.05, 20 if late else 0.2), replica.hear, shard)


class Identities:
    """In the place of the authenticator: every agent of this world is who it says."""

    def __init__(self, known: dict[str, AgentIdentity]) -> None:
        self._known = known

    async def authenticate(self, authorization: str) -> AgentIdentity:
        return self._known[authorization]

    def forget(self, agent: UUID) -> None:
        """Nothing is cached."""


class Replica:
    """`life` counts its processes; each is a new replica to the database."""

    def __init__(
        self,
        world: World,
        faults: Faults,
        database: Database,
        identities: dict[str, AgentIdentity],
        name: str,
    ) -> None:
        self.world = world
        self.faults = faults
        self.database = database
        self.name = name
        self.hints: Hints | None = None
        self.calls: dict[Call, None] = {}
        self._identities = Identities(identities)
        self.loop = Loop(world, Clock(world), name)
        self.loop.alive = False
        self._remote_hints: list[Callable[[int], None]] = []
        self._services: list[Service] = []
        self._aside: tuple[Quarantine[Any], ...] = ()

    def start(self) -> None:
        """A new process on this machine."""
        if self.loop.alive:
            return
        world, faults = self.world, self.faults
        drift = world.random.uniform(-faults.drift, faults.drift)
        ahead = world.random.uniform(-30, 30) if faults.drift else 0.0
        self.clock = Clock(world, 1.0 + drift, ahead)
        self.loop = Loop(world, self.clock, self.name)
        self.calls = {}
        self._leave: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._remote_hints = []
        self.loop.spawn(self._run())

    def crash(self) -> None:
        """kill -9: what it had sent to the database still happens."""
        if not self.loop.alive:
            return
        self.world.note(self.name, "crashes")
        self.loop.kill()
        for call in tuple(self.calls):
            call.replica_died()
        self.calls = {}

    def retire(self) -> None:
        """SIGTERM: shards are given back, agents asked to move."""
        if self.loop.alive and self._leave is not None:
            leave, self._leave = self._leave, None
            self.loop.spawn(leave())
            self.world.after(20.0, self._gone, self.loop)

    def _gone(self, loop: Loop) -> None:
        if self.loop is loop:
            self.crash()

    def hear(self, shard: int) -> None:
        if self.loop.alive:
            for listener in self._remote_hints:
                self.loop.call_soon(listener, shard)

    # The production parts, put together as `main.compose` does -------------------------------------------------

    async def _run(self) -> None:
        world, clock = self.world, self.clock
        random = Random(world.random.getrandbits(64))
        access: Any = Access(self.database, Statements(self.database))
        replica = world.new_id()
        self.log = log = self._make_log(access, random)
        shards = ShardLeases(access, clock, replica=replica)
        self.shards = shards
        dispatcher = Dispatcher(DispatchRows(access), log, shards, clock)
        settings = SweeperSettings(policy=self.database.policy, interval=SWEEP)
        sweeper = Sweeper(access, log, shards, clock, settings)
        agents = self._make_agents(access, replica, shards, random)
        catalog = Catalog(self.database)
        children = Children(access, log, catalog, shards, clock, interval=SWEEP)
        await log.start()

        dispatching = self._service(dispatcher, random, prompt=True, recover=dispatcher.recover)
        delivering = self._service(agents.delivery, random, prompt=True)
        starting = self._service(children, random, prompt=True)
        children.on_wake(starting.wake)
        dispatcher.on_wake(dispatching.wake)
        log.foresee_with(partial(_foreseen, world, dispatcher))
        agents.on_wake(delivering.wake)
        shards.on_change(dispatcher.on_shards)
        shards.on_change(sweeper.on_shards)
        for listener in (
            sweeper.on_commit,
            dispatcher.on_commit,
            agents.delivery.on_commit,
            children.on_commit,
        ):
            log.on_commit(listener)
        log.on_commit(lambda notice: self.hints and self.hints.send(self, notice.shard))
        self._remote_hints = [dispatcher.on_hint, agents.delivery.on_hint]
        leasing = self._service(shards, random, prompt=True)
        services = [leasing, dispatching, self._service(sweeper, random), delivering, starting]
        for service in services:
            service.start(self._ended)
        self._services = services
        self._aside = (
            dispatcher.quarantine,
            sweeper.quarantine,
            sweeper.unreadable,
            children.quarantine,
            agents.delivery.broken_runs,
            agents.delivery.broken_sessions,
        )
        self._leave = partial(_leave, services, dispatcher, shards, agents)
        self.service = agents._service

    def _make_log(self, access: Any, random: Random) -> Committer:
        log = Committer(
            access,
            clock=self.clock,
            ids=self.world.new_id,
            entropy=random.randbytes,
            random=random.random,
            policy=self.database.policy,
            lanes=1,
        )
        log._segments = Segments()  # type: ignore[assignment]
        for lane in log._lanes:
            lane._flusher = Flusher(self.database, log._event_ids)  # type: ignore[assignment]
        return log

    def _make_agents(
        self, access: Any, replica: UUID, shards: ShardLeases, random: Random
    ) -> AgentServer:
        settings = AgentServerSettings(
            policy=self.database.policy,
            sweep_interval=SWEEP,
            # With some the answers stand in the Assign, with others they follow it.
            limits=Limits(assign_answers_bytes=replica.int % 2 * MEBIBYTE),
            stream_max_age=timedelta(minutes=random.uniform(3, 30)),
        )
        agents = AgentServer(
            access,
            self.log,
            None,  # type: ignore[arg-type]  # nobody enrols here
            self.clock,
            self.world.new_id,
            random,
            settings,
            replica=replica,
            alone=lambda: shards.alone,
        )
        agents._service._authenticator = self._identities  # type: ignore[assignment]
        return agents

    def defects(self) -> list[str]:
        """What failed in a way that nobody foresaw. Production goes on all the same; here nothing is poisoned."""
        failed = [f"{s.name}: {s.defect!r}" for s in self._services if s.defect is not None]
        return failed + [f"{len(aside)} set aside" for aside in self._aside if len(aside)]

    def _service(self, work: Work, random: Random, **options: Any) -> Service:
        return Service(work, random=random, **options)

    def _ended(self, service: Service) -> None:
        if self.loop.alive:
            if service.error is None:
                return  # it was stopped
            self.world.broke("a service died", self.name, service.name, repr(service.error))


def _foreseen(
    world: World, dispatcher: Dispatcher, ws: int, commands: Sequence[Command]
) -> Sequence[Reaction]:
    reactions = dispatcher.foresee(ws, commands)
    for reaction in reactions:
        reaction.outcome.add_done_callback(partial(_count_ahead, world, reaction.command))
    return reactions


def _count_ahead(world: World, command: Any, outcome: asyncio.Future[Committed]) -> None:
    if outcome.cancelled() or outcome.exception() is not None:
        world.happens("grant ahead refused")
    elif command.instead_of is not None:
        world.happens("slot handed on in its flush")
    else:
        world.happens("run granted ahead")


async def _leave(
    services: list[Service], dispatcher: Dispatcher, shards: ShardLeases, agents: AgentServer
) -> None:
    """In the order of `main.compose`."""
    agents._service.drain(timedelta(seconds=5))
    for service in reversed(services):
        await service.stop()
    await dispatcher.stop()
    await shards.retire()


class Segments:
    """There is one segment, for ever."""

    async def ensure(self) -> None:
        """It is there."""
