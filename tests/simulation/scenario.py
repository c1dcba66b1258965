"""A seed's story: who is there, what clients want, what goes wrong, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from headway_control_plane.application.ports import Unavailable
from headway_control_plane.dispatch import ownership
from headway_control_plane.domain.agent.state import AgentState
from headway_control_plane.domain.commands import AnswerRun, CancelRun, CreateRun, ReleaseRun
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.deployment.state import DeploymentState
from headway_control_plane.domain.errors import Refused
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.pool.state import PoolState
from headway_control_plane.domain.run.events import OnLost
from headway_control_plane.domain.streams import Blob, Stream, StreamKind
from headway_control_plane.grpc_api.auth import AgentIdentity
from simulation.agent import Agent
from simulation.checks import Checks
from simulation.closing import Closing
from simulation.database import Database, Workspace
from simulation.faults import draw
from simulation.host import Flow, Host
from simulation.network import Network
from simulation.replica import Hints, Replica
from simulation.world import START, World

SHARDS = 4
TROUBLE = 900.0  # seconds in which things go wrong
BOUND = 2700.0  # longer than this nothing stands still once healed: the brake, a start deadline, retries
LOOK_EVERY = 1.0


@dataclass
class Outcome:
    seed: int
    broken: list[str]
    hours: float
    steps: int
    happened: dict[str, int]
    trace: list[tuple[float, str, str]] = field(default_factory=list)
    cpu_seconds: float = 0.0


def simulate(seed: int, *, liveness: bool, keep: int = 100) -> Outcome:
    """Live through a seed, in a process of its own (see `batches`)."""
    ownership.SHARDS = SHARDS  # fewer make no difference but time
    story = Story(seed, liveness=liveness, keep=keep)
    story.tell()
    world = story.world
    world.stop()
    happened = dict(world.happened)
    trace = [(at, who, " ".join(map(str, what))) for at, who, what in world.trace]
    return Outcome(seed, list(world.broken), world.now / 3600, world.steps, happened, trace)


class Story:
    def __init__(self, seed: int, *, liveness: bool, keep: int) -> None:
        self.world = world = World(seed, keep=keep)
        self.faults = draw(world.random)
        self.liveness = liveness
        self.checks = Checks(world)
        self.database = Database(world, self.faults, Policy(), self.checks)
        self.identities: dict[str, AgentIdentity] = {}
        self.flows: dict[str, Flow] = {}
        self.accepted: dict[UUID, int] = {}
        self.replicas = [
            Replica(world, self.faults, self.database, self.identities, f"replica {n}")
            for n in range(world.random.randint(1, 3))
        ]
        hints = Hints(world, self.faults, self.replicas)
        for replica in self.replicas:
            replica.hints = hints
        self.network = Network(world, self.faults, self._dialable)
        self.agents = self.checks.agents
        self._deployments: dict[int, list[UUID]] = {}
        for ws in range(1, world.random.randint(1, 2) + 1):
            self._found(ws)

    def _dialable(self) -> list[Replica]:
        return [r for r in self.replicas if r.loop.alive and hasattr(r, "service")]

    def tell(self) -> None:
        world = self.world
        world.note("faults", {k: round(v, 3) for k, v in vars(self.faults).items() if v})
        for node in (*self.replicas, *self.agents):
            node.start()
        self._look()
        self._answer_questions()
        self._plan_faults()
        self._plan_runs()
        world.run(TROUBLE)
        if self.liveness and not world.broken:
            self._heal()
            self._await_ends()
        if not world.broken:
            closing = self._closing()
            closing.safety(self.accepted)
            closing.completed_wholly()

    # The beginning ------------------------------------------------------------------------------------------

    def _found(self, ws: int) -> None:
        """A workspace with a pool, deployments and agents, as if it had always been there."""
        world, random = self.world, self.world.random
        pool = world.new_id()
        row = Workspace(ws, world.new_id(), random.randrange(SHARDS), pool, chain=b"\0" * 32)
        self.database.workspaces[ws] = row
        self.database.shards |= {n: [None, 0] for n in range(SHARDS)}
        slots = random.choice((0, 0, random.randint(2, 5)))
        row.states[Stream(StreamKind.POOL, pool)] = PoolState(
            pool, 1, "p", ("id", "timing", "log"), slots, 0, START
        )
        self._deployments[ws] = []
        for on_lost in OnLost:
            spec = _spec(pool, on_lost, random.choice((0, 1, 3)), random.choice((0, 2000)))
            id_ = world.new_id()
            row.states[Stream(StreamKind.DEPLOYMENT, id_)] = DeploymentState(
                id_, 1, spec, START, START
            )
            self._deployments[ws].append(id_)
        for n in range(random.choice((1, 2, 3, 4, 5))):
            agent = world.new_id()
            row.states[Stream(StreamKind.AGENT, agent)] = AgentState(
                agent, 1, "a", pool, b"", START, None
            )
            identity = AgentIdentity(agent, ws, row.id, row.shard, pool, "a", b"", None)
            self.identities[str(agent)] = identity
            host = Host(world, self.faults, f"agent {ws}.{n}", self.flows)
            slots = random.randint(1, 3)
            newcomer = Agent(world, self.faults, self.network, host, identity, slots)
            host.lose_power = partial(self._cut_power_of, newcomer)
            self.agents.append(newcomer)

    # What clients want --------------------------------------------------------------------------------------

    def _plan_runs(self) -> None:
        random = self.world.random
        for _ in range(random.randint(6, 20)):
            ws = random.choice(list(self._deployments))
            run = self.world.new_id()
            long = random.choice((2.0, 20.0, 120.0))
            tasks = [random.uniform(0.02, long) for _ in range(random.randint(1, 5))]
            self.flows[str(run)] = Flow(tasks, self._waits(len(tasks)))
            labels = Blob(b"l" * 32, b'{"name": "", "tags": []}')
            create = CreateRun(
                run,
                random.choices(self._deployments[ws], (6, 1, 1))[0],
                1,
                Blob(b"p" * 32, b"{}"),
                labels,
                priority=random.randint(1, 5),
            )
            at = random.uniform(0, TROUBLE * 0.8)
            self.world.after(at, self._ask, ws, create, partial(self.accepted.__setitem__, run, ws))
            if random.random() < self.faults.cancel:
                self.world.after(at + random.uniform(0, 200), self._cancel, ws, run)

    def _waits(self, tasks: int) -> dict[int, float | None]:
        """Before which tasks the flow is suspended; for so many seconds, or until somebody answers."""
        random, share = self.world.random, self.faults.suspend
        return {
            n: None if random.random() < 0.5 else random.uniform(0.5, 150)
            for n in range(tasks)
            if random.random() < share
        }

    def _answer_questions(self) -> None:
        """People look now and then whether something waits for them."""
        self.world.after(5.0, self._answer_questions)
        for row in self.database.workspaces.values():
            for run in row.of(StreamKind.RUN):
                open_ones = [
                    w for w in run.waits if w.kind == "input" and w.call not in dict(run.answers)
                ]
                if run.is_suspended and open_ones and self.world.chance(0.25):
                    value = Blob(b"y" * 32, b'"yes"')
                    answer = AnswerRun(run.run, open_ones[0].call, value)
                    self._ask(row.ws, answer, partial(self.world.happens, "run answered"))

    def _cancel(self, ws: int, run: UUID) -> None:
        self.world.happens("run cancelled")
        self._ask(ws, CancelRun(run), lambda: None)

    def _ask(self, ws: int, command: Any, done: Callable[[], None]) -> None:
        """A client asks some replica, and asks again, with the same ids, until it was answered."""
        replicas = self._dialable()
        if not replicas:
            self.world.after(2.0, self._ask, ws, command, done)
            return
        replica = self.world.random.choice(replicas)
        answered: list[bool] = []

        async def ask() -> None:
            try:
                await replica.log.execute(ws, command, actor="client")
            except Unavailable:
                return
            except Refused:
                answered.append(True)
                return
            answered.append(True)
            done()

        replica.loop.spawn(ask())
        self.world.after(15.0, self._ask_again, ws, command, done, answered)

    def _ask_again(
        self, ws: int, command: Any, done: Callable[[], None], answered: list[bool]
    ) -> None:
        if not answered:
            self.world.happens("client retried")
            self._ask(ws, command, done)

    # What goes wrong ----------------------------------------------------------------------------------------

    def _plan_faults(self) -> None:
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
        self._cut_power_of(self._some_agent())

    def _cut_power_of(self, agent: Agent) -> None:
        if agent.host.up:
            self.world.happens("host power cut")
            self.world.note(agent.host.name, "power cut")
            agent.kill()
            agent.host.cut_power()
            self.world.after(self._short_or_long(), self._boot, agent)

    def _boot(self, agent: Agent) -> None:
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

    # The end ------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.checks.look(self.database.workspaces)
        for replica in self.replicas:
            if replica.loop.alive and (defects := replica.defects()):
                self.world.broke("a defect", replica.name, *defects)
        self.world.after(LOOK_EVERY, self._look)

    def _heal(self) -> None:
        world = self.world
        world.note("world", "heals")
        self.faults.heal()
        self.database.away_until = 0.0
        self.database.stalled_until.clear()
        for replica in self.replicas:
            replica.loop.frozen_until = 0.0
            replica.start()
        for agent in self.agents:
            agent.link.up_stalled_until = agent.link.down_stalled_until = 0.0
            agent.loop.frozen_until = 0.0
            self._boot(agent)
            agent.start()
        for row in self.database.workspaces.values():
            for run in row.of(StreamKind.RUN):
                if run.status == "paused" and world.chance(0.5):
                    self._ask(row.ws, ReleaseRun(run.run), lambda: None)

    def _closing(self) -> Closing:
        return Closing(self.world, self.database.workspaces.values(), self.agents, self.flows)

    def _await_ends(self) -> None:
        """One slot and many long runs take their time; but something has to get done."""
        world, least, progress_at = self.world, float("inf"), self.world.now
        while world.now < progress_at + BOUND and not world.broken:
            world.run(world.now + 30.0)
            closing = self._closing()
            left = len(closing.unfinished()) + len(closing.left_over())
            if left == 0 and self._all_asked():
                return
            if left < least:
                least, progress_at = left, world.now
        if not world.broken:
            closing = self._closing()
            world.broke("not all has ended", closing.unfinished(), closing.left_over())

    def _all_asked(self) -> bool:
        return len(self.accepted) == len(self.flows)


def _spec(pool: UUID, on_lost: OnLost, retries: int, delay_ms: int) -> DeploymentDeployed:
    empty = Blob(b"e" * 32, b"{}")
    return DeploymentDeployed(
        name="d",
        flow="f",
        pool=pool,
        environment="default",
        entrypoint="f:f",
        code_hash="c",
        parameter_schema=empty,
        defaults=empty,
        description="",
        tags=(),
        retries=retries,
        retry_delay_ms=delay_ms,
        on_lost=on_lost,
        cancel_grace_ms=5000,
        kill_grace_ms=5000,
    )
