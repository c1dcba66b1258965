"""An agent: the production loops and cores over the modelled machine and network, one process life after another."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from headway_agent.connection.messages import Introduction
from headway_agent.core import lease
from headway_agent.core.session import DrainAsked, Rules
from headway_agent.loops.attempts_loop import AttemptsLoop
from headway_agent.loops.hub import Hub
from headway_agent.loops.log_loop import LogLoop
from headway_agent.loops.record_loop import RecordLoop
from headway_agent.loops.renew_loop import RenewLoop
from headway_agent.loops.report_loop import ReportLoop
from headway_agent.loops.session_loop import SessionLoop
from headway_agent.loops.supervisor import Loop as Running
from headway_agent.loops.supervisor import supervise
from headway_agent.loops.watch_loop import WatchLoop
from headway_control_plane.grpc_api.auth import AgentIdentity
from simulation.faults import Faults
from simulation.host import Host
from simulation.network import Link, Network
from simulation.runner import Runner
from simulation.world import Clock, Loop, World


class Agent:
    """An enrolled agent on its machine."""

    def __init__(
        self,
        world: World,
        faults: Faults,
        network: Network,
        host: Host,
        identity: AgentIdentity,
        slots: int,
    ) -> None:
        self.world = world
        self.host = host
        self.identity = identity
        self.slots = slots
        self.link = Link()
        self._network = network
        drift = world.random.uniform(-faults.drift, faults.drift)
        ahead = world.random.uniform(-30, 30) if faults.drift else 0.0
        self.clock = Clock(world, 1.0 + drift, ahead)
        self.loop = Loop(world, self.clock, host.name)
        self.loop.alive = False
        self.hub: Hub | None = None

    @property
    def alive(self) -> bool:
        return self.loop.alive

    def start(self) -> None:
        """A new process, on the disk that the last one left."""
        if self.alive or not self.host.up:
            return
        self.loop = Loop(self.world, self.clock, self.host.name)
        self.loop.spawn(self._run())

    def kill(self) -> None:
        """kill -9. Supervisors and flows live on."""
        if self.alive:
            self.world.note(self.host.name, "agent dies")
            for stream in tuple(self.link.streams):
                stream.agent_died()
            self.link.streams.clear()
            self.loop.kill()
            self.hub = None

    def drain(self) -> None:
        """SIGTERM: it says goodbye and leaves what runs to its supervisors."""
        if self.alive and self.hub is not None:
            self.loop.call_soon(self.hub.tell_session, DrainAsked(wait=False))
            self.world.after(15.0, self._gone, self.loop)

    def _gone(self, loop: Loop) -> None:
        if self.loop is loop:
            self.kill()

    def trusts_until(self) -> float:
        """In the world's time: until when this process believes in its lease."""
        if not self.alive or self.hub is None:
            return float("-inf")
        until = self.hub.session.lease.trusted_until
        return until if until == lease.NEVER else self.clock.world_time_of_boot(until)

    @property
    def session(self) -> Any:
        return self.hub.who.session if self.hub is not None else None

    async def _run(self) -> None:
        world = self.world
        random = Random(world.random.getrandbits(64))
        runner = Runner(world, self.host, self.loop)
        await runner.open()
        self.host.processes += 1
        who = Introduction(world.new_id(), "1", self.host.name, self.host.processes)
        self.hub = hub = Hub(Rules(self.slots), who, runner, self.clock, random)
        witnesses = Witnesses(self.host)
        session_loop = SessionLoop(
            hub,
            lambda: self._network.dial(self, self.loop),
            Corrections(),  # type: ignore[arg-type]
            witnesses,
            world.new_id,
        )
        loops = [
            Running("renew", RenewLoop(hub).run),
            Running("record", RecordLoop(hub, witnesses).run),
            Running("session", session_loop.run, may_end=True),
            Running("attempts", AttemptsLoop(hub).run),
            Running("watch", WatchLoop(hub).run),
            Running("report", ReportLoop(hub).run),
            Running("log", LogLoop(hub).run),
        ]
        try:
            await supervise(loops)
        except Exception as error:  # noqa: BLE001 - no error ends an agent in this world
            world.broke("an agent died by itself", self.host.name, repr(error))


class Corrections:
    """No assertion is refused for its clock."""

    def correct(self, server_time_us: int) -> None:
        raise AssertionError("the server gave no time")


class Witnesses:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def keep(self, witness: Any) -> None:
        await asyncio.sleep(0.002)
        self._host.witness = witness

    async def last(self) -> Any:
        return self._host.witness
