"""A seed's story: who is there, what clients want, what goes wrong, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from headway_control_plane.dispatch import ownership
from headway_control_plane.domain.agent.state import AgentState
from headway_control_plane.domain.commands import ReleaseRun
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.deployment.state import DeploymentState
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.pool.state import PoolState
from headway_control_plane.domain.run.events import OnLost
from headway_control_plane.domain.streams import Blob, Stream, StreamKind
from headway_control_plane.grpc_api.auth import AgentIdentity
from simulation.agent import Agent
from simulation.checks import Checks
from simulation.clients import Clients
from simulation.closing import Closing
from simulation.database import Database, Workspace
from simulation.faults import draw
from simulation.flows import Flow
from simulation.host import Host
from simulation.network import Network
from simulation.replica import Hints, Replica
from simulation.troubles import Troubles
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
        self.replicas = [
            Replica(world, self.faults, self.database, self.identities, f"replica {n}")
            for n in range(world.random.randint(1, 3))
        ]
        self.checks.is_alone = len(self.replicas) == 1
        hints = Hints(world, self.faults, self.replicas)
        for replica in self.replicas:
            replica.hints = hints
        self.network = Network(world, self.faults, self._dialable)
        self.agents = self.checks.agents
        self.clients = Clients(world, self.faults, self.database, self._dialable, self.flows)
        self.troubles = Troubles(world, self.faults, self.database, self.replicas, self.agents)
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
        self.clients.answer_questions()
        self.troubles.plan()
        self.clients.plan_runs(self._deployments, TROUBLE * 0.8)
        world.run(TROUBLE)
        if self.liveness and not world.broken:
            self._heal()
            self._await_ends()
        if not world.broken:
            closing = self._closing()
            closing.safety(self.clients.accepted, self.clients.answered)
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
            host.lose_power = partial(self.troubles.cut_power_of, newcomer)
            self.agents.append(newcomer)

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
            self.troubles.boot(agent)
            agent.start()
        for row in self.database.workspaces.values():
            for run in row.of(StreamKind.RUN):
                if run.status == "paused" and world.chance(0.5):
                    self.clients.ask(row.ws, ReleaseRun(run.run), lambda: None)

    def _closing(self) -> Closing:
        return Closing(
            self.world,
            self.database.workspaces.values(),
            self.agents,
            self.flows,
            self.checks.families,
        )

    def _await_ends(self) -> None:
        """One slot and many long runs take their time; but something has to get done."""
        world, least, progress_at = self.world, float("inf"), self.world.now
        while world.now < progress_at + BOUND and not world.broken:
            world.run(world.now + 30.0)
            closing = self._closing()
            left = len(closing.unfinished()) + len(closing.left_over())
            if left == 0 and self.clients.all_accepted:
                return
            if left < least:
                least, progress_at = left, world.now
        if not world.broken:
            closing = self._closing()
            world.broke("not all has ended", closing.unfinished(), closing.left_over())


def _spec(pool: UUID, on_lost: OnLost, retries: int, delay_ms: int) -> DeploymentDeployed:
    empty = Blob(b"e" * 32, b"{}")
    return DeploymentDeployed(
        name=on_lost.value,
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
