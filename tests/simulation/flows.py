"""What runs' code does in this world, and what the world itself saw of it: nobody has to believe the frames."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from headway_agent.runner.api import AttemptKey
from simulation.faults import Faults

DEEPEST = 2  # children of children
_SALT = 2  # bytes of a call's key that are its agent's
PRIVATE = "nobody's"  # a deployment that there is not


@dataclass
class Body:
    """One execution of a task's body, as the world saw it. `kept_at`: when its end was written."""

    key: AttemptKey
    host: str
    task: int
    attempt_began: float
    kept_at: float | None = None


class Heard(NamedTuple):
    """An answer that a flow went on with, and that its journal keeps from then on."""

    key: AttemptKey
    host: str
    call: str
    value: Any
    attempt_began: float
    kept_at: float


class Ask(NamedTuple):
    """Runs of other deployments that a flow asks for before task `n`, and waits for before task `until`."""

    n: int
    until: int
    deployments: tuple[str, ...]
    outlive: bool

    @property
    def calls(self) -> list[str]:
        return [f"c{self.n:03x}{k:04x}" for k in range(len(self.deployments))]


@dataclass
class Flow:
    """What a run's code does: `tasks` with their durations; before which of them it is suspended (`waits`: how long; None: for an
    answer) or asks a person and keeps its process (`pauses`); which have so many quick calls within them (`ranges`)."""

    tasks: list[float]
    waits: dict[int, float | None] = field(default_factory=dict)
    pauses: set[int] = field(default_factory=set)
    ranges: dict[int, int] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)
    depth: int = 0
    # What came of it.
    bodies: list[Body] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    starts: dict[int, str] = field(default_factory=dict)  # fence -> host that executed it
    told: dict[AttemptKey, Counter[str]] = field(default_factory=dict)  # outcomes of its calls
    children: dict[str, Flow] = field(default_factory=dict)  # call -> what its run does


def draw_flow(random: Random, faults: Faults, depth: int = 0) -> Flow:
    long = random.choice((2.0, 20.0, 120.0))
    flow = Flow([random.uniform(0.02, long) for _ in range(random.randint(1, 5))], depth=depth)
    for n in range(len(flow.tasks)):
        if random.random() < faults.suspend:
            flow.waits[n] = None if random.random() < 0.5 else random.uniform(0.5, 150)
        if random.random() < faults.pause:
            flow.pauses.add(n)
        if random.random() < faults.ranges:
            flow.ranges[n] = random.randint(2, 60)
        if depth < DEEPEST and random.random() < faults.children / (1 + 3 * depth):
            flow.asks.append(_draw_ask(random, n))
    return flow


def _draw_ask(random: Random, n: int) -> Ask:
    names = random.choices(
        ("retry", "hold", "fail", PRIVATE), (8, 1, 1, 1), k=random.choice((1, 1, 2, 3))
    )
    return Ask(n, n + random.choice((0, 0, 1)), tuple(names), random.random() < 0.2)


def salted(call: str, host: str) -> str:
    """As the agent of this machine names a call that asks for a run."""
    return call + hashlib.sha256(host.encode()).hexdigest()[: 2 * _SALT]


def unsalted(call: bytes) -> bytes:
    return call[:-_SALT]


def wait_call(n: int) -> str:
    return f"8{n:03x}"


def pause_call(n: int) -> str:
    return f"a{n:03x}"


def range_keys(n: int, count: int) -> list[str]:
    """The keys of a task's quick calls."""
    return [f"{n:016x}{k:016x}" for k in range(count)]


def task_of(call: bytes) -> int | None:
    """The number of a task's call; None for another call."""
    number = int.from_bytes(call)
    return number if len(call) == 2 and number < 0x8000 else None
