"""What goes wrong in a seed's world, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from simulation.faults import Faults
from simulation.world import World

if TYPE_CHECKING:
    from simulation.agent import Agent
    from simulation.database import Database
    from simulation.replica import Replica


class Troubles:
    """Plans and carries out the faults that somebody or something causes at a moment of its own."""

    def __init__(
        self,
        world: World,
        faults: Faults,
        database: Database,
        replicas: Sequence[Replica],
        agents: Sequence[Agent],
    ) -> None:
        self.world = world
        self.faults = faults
        self.database = database
        self.replicas = replicas
        self.agents = agents

    def plan(self) -> None:
        for every, act in (
            ("cut_every", self._cut),
            ("stall_every", self._stall),
            ("away_every", self._database_away),
            ("apart_every", self._part_from_database),
            ("replica_crash_every", self._crash_replica),
            ("replica_freeze_every", self._freeze_replica),
            ("agent_kill_every", self._kill_agent),
            ("agent_drain_every", self._drain_agent),
            ("replica_retire_every", self._retire_replica),
            ("agent_freeze_every", self._freeze_agent),
            ("suspend_every", self._suspend),
            ("power_cut_every", self._power_cut),
            ("clock_step_every", self._step_clock),
            ("supervisor_kill_every", self._kill_supervisor),
            ("storm_every", self._storm),
        ):
            self._again(every, act, first=True)

    def _again(self, every: str, act: Callable[[], None], *, first: bool = False) -> None:
        mean = getattr(self.faults, every)
        if not mean:
            return
        if not first:
            act()
        self.world.after(self.world.random.expovariate(1 / mean), self._again, every, act)

    def _short_or_long(self) -> float:
        return self.world.random.choice(
            (self.world.random.uniform(0.5, 20), self.world.random.uniform(20, 250))
        )

    def _some_agent(self) -> Agent:
        return self.world.random.choice(self.agents)

    def _cut(self) -> None:
        for stream in tuple(self._some_agent().link.streams):
            stream.cut()

    def _stall(self) -> None:
        link, until = self._some_agent().link, self.world.now + self._short_or_long()
        which = self.world.random.choice(("up", "down", "both"))
        if which != "down":
            link.up_stalled_until = until
        if which != "up":
            link.down_stalled_until = until

    def _storm(self) -> None:
        """Most agents vanish together: a network's fault, not theirs."""
        self.world.happens("agents cut off together")
        until = self.world.now + self.world.random.uniform(20, 500)
        for agent in self.agents:
            if self.world.chance(0.9):
                agent.link.up_stalled_until = agent.link.down_stalled_until = until

    def _database_away(self) -> None:
        self.world.happens("database away")
        self.database.away_until = self.world.now + self._short_or_long() * 0.5

    def _part_from_database(self) -> None:
        loop = self.world.random.choice(self.replicas).loop
        self.database.stalled_until[loop] = self.world.now + self._short_or_long() * 0.5

    def _crash_replica(self) -> None:
        replica = self.world.random.choice(self.replicas)
        if replica.loop.alive:
            self.world.happens("replica crashed")
            replica.crash()
            self.world.after(self.world.random.uniform(1, 60), replica.start)

    def _freeze_replica(self) -> None:
        self.world.happens("replica frozen")
        replica = self.world.random.choice(self.replicas)
        replica.loop.frozen_until = self.world.now + self._short_or_long()

    def _kill_agent(self) -> None:
        agent = self._some_agent()
        if agent.alive:
            self.world.happens("agent killed")
            agent.kill()
            self.world.after(self._short_or_long(), agent.start)

    def _drain_agent(self) -> None:
        agent = self._some_agent()
        if agent.alive:
            self.world.happens("agent drained")
            agent.drain()
            self.world.after(16 + self._short_or_long(), agent.start)

    def _retire_replica(self) -> None:
        replica = self.world.random.choice(self.replicas)
        if replica.loop.alive:
            self.world.happens("replica retired")
            replica.retire()
            self.world.after(self.world.random.uniform(21, 60), replica.start)

    def _freeze_agent(self) -> None:
        self.world.happens("agent frozen")
        agent = self._some_agent()
        agent.loop.frozen_until = self.world.now + self._short_or_long()

    def _suspend(self) -> None:
        self.world.happens("host suspended")
        agent, duration = self._some_agent(), self._short_or_long()
        agent.loop.frozen_until = self.world.now + duration
        agent.clock.sleeps(duration)

    def _power_cut(self) -> None:
        self.cut_power_of(self._some_agent())

    def cut_power_of(self, agent: Agent) -> None:
        if agent.host.up:
            self.world.happens("host power cut")
            self.world.note(agent.host.name, "power cut")
            agent.kill()
            agent.host.cut_power()
            self.world.after(self._short_or_long(), self.boot, agent)

    def boot(self, agent: Agent) -> None:
        if not agent.host.up:
            agent.host.boot()
            agent.start()

    def _step_clock(self) -> None:
        self.world.happens("wall clock stepped")
        self.world.random.choice(
            (*self.agents, *self.replicas)
        ).clock.ahead += self.world.random.uniform(-300, 300)

    def _kill_supervisor(self) -> None:
        host = self._some_agent().host
        writers = [d.writer for d in host.directories.values() if d.writer is not None]
        if writers:
            self.world.random.choice(writers).kill()
