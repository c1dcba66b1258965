"""A customer's machine: its disk, and the supervisors and flows on it. They live on when the agent dies, and die with the power."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headway_agent.runner.api import Answer, Assignment, AttemptKey, AttemptState
from simulation.faults import Faults
from simulation.flows import Flow, task_of
from simulation.supervisor import Supervisor
from simulation.world import World


@dataclass
class RunDirectory:
    """frames.log as a list: the first `synced` frames survive a power cut. `writer` holds its lock."""

    frames: list[bytes] = field(default_factory=list)
    synced: int = 0
    lines: int = 0  # of output.log
    writer: Supervisor | None = None
    answers: dict[str, Answer] = field(default_factory=dict)  # answers.json

    def find(self, kind: str) -> dict[str, Any] | None:
        """The last frame of this type."""
        for raw in reversed(self.frames):
            if b'"' + kind.encode() + b'"' in raw:
                return json.loads(raw)
        return None

    @property
    def exited(self) -> bool:
        return bool(self.frames) and b'"attempt.exited"' in self.frames[-1]


@dataclass
class Row:
    """An attempt in agent.db."""

    key: AttemptKey
    assignment: Assignment
    state: AttemptState = "assigned"
    acked_seq: int = 0
    acked_line: int = 0


class Host:
    """`boots` counts its starts; a supervisor belongs to one."""

    def __init__(self, world: World, faults: Faults, name: str, flows: dict[str, Flow]) -> None:
        self.world = world
        self.faults = faults
        self.name = name
        self.flows = flows
        self.boots = 1
        self.up = True
        self.rows: dict[AttemptKey, Row] = {}
        self.directories: dict[AttemptKey, RunDirectory] = {}
        self.witness: Any = None
        self.power_cuts = 0
        self.processes = 0  # of the agent: counted in agent.db
        self.lose_power: Callable[[], None] = lambda: None
        self.on_wake: Callable[[AttemptKey], None] = lambda _: None

    def spawn(self, assignment: Assignment, on_spawned: Callable[[], None]) -> None:
        """The template forks a supervisor, which makes STARTING durable. Happens even if the agent dies meanwhile."""
        boots = self.boots
        self.world.after(
            self.world.random.uniform(0.02, 0.5), self._fork, assignment, boots, on_spawned
        )

    def _fork(self, assignment: Assignment, boots: int, on_spawned: Callable[[], None]) -> None:
        if self.up and self.boots == boots and assignment.key not in self.directories:
            directory = RunDirectory()
            self.directories[assignment.key] = directory
            Supervisor(self, assignment, directory)
        on_spawned()

    def cut_power(self) -> None:
        """Everything dies; what was not synced is partly gone."""
        self.up = False
        self.power_cuts += 1
        for directory in self.directories.values():
            if directory.writer is not None:
                directory.writer.die()
            unsynced = len(directory.frames) - directory.synced
            if unsynced > 0:
                self.world.happens("unsynced write lost")
                del directory.frames[directory.synced + self.world.random.randrange(unsynced) :]
            directory.synced = len(directory.frames)

    def boot(self) -> None:
        self.up = True
        self.boots += 1

    def journal(self, key: AttemptKey) -> Journal:
        """What earlier attempts of the run have done, as far as this disk knows."""
        journal = Journal()
        for earlier, directory in self.directories.items():
            if earlier.run == key.run and earlier.fence < key.fence:
                for frame in map(json.loads, directory.frames):
                    journal.take(frame)
        return journal


@dataclass
class Journal:
    tasks: set[int] = field(default_factory=set)  # that were completed
    heard: set[str] = field(default_factory=set)  # calls whose answers a flow went on with
    requested: dict[str, str] = field(default_factory=dict)  # call -> the run that it asked for

    def asked(self, call: str) -> str | None:
        return self.requested.get(call)

    def asked_runs(self) -> set[str]:
        return set(self.requested.values())

    def take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "run.requested":
            self.requested[frame["call"]] = frame["run"]
        elif frame["type"] == "call.ended" and frame["outcome"] in {"completed", "skipped"}:
            task = task_of(bytes.fromhex(frame["call"]))
            if task is None:
                self.heard.add(frame["call"])
            else:
                self.tasks.add(task)
