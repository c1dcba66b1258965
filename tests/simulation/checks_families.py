"""What must hold of runs that start runs, ask and are answered: judged at every commit, with a model of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from simulation.flows import unsalted

if TYPE_CHECKING:
    from simulation.database import Entry, Workspace
    from simulation.world import World

_ENDS = {"RunCompleted", "RunFailed", "RunCrashed", "RunCancelled"}
Call = tuple[UUID, bytes]  # of which run


@dataclass
class Waiter:
    """What a run waits for, and which of that was answered."""

    waits: dict[bytes, str] = field(default_factory=dict)
    answers: set[bytes] = field(default_factory=set)

    def keep(self) -> None:
        self.answers &= self.waits.keys()


class Families:
    """`told`: every answer that the log has, by run and call."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.made: dict[Call, UUID] = {}
        self._said: dict[
            Call, UUID
        ] = {}  # by calls as the flow has them, whatever agents name them
        self.told: dict[Call, list[bytes | None]] = {}
        self._asked_by: dict[UUID, Call] = {}
        self._ended: set[UUID] = set()
        self._waiters: dict[UUID, Waiter] = {}
        self._exited: set[tuple[UUID, int]] = set()

    def fact(self, entry: Entry) -> None:
        if entry.type == "AttemptExited":
            self._exited.add((entry.stream.id, entry.stream.fence))

    def run_event(self, entry: Entry) -> None:
        event, run = entry.event, entry.stream.id
        match type(event).__name__:
            case "RunCreated" if event.parent_run is not None:
                self._child(run, (event.parent_run, event.parent_call))
            case "RunSuspended":
                if (run, event.fence) not in self._exited:
                    self.world.broke("a run gave its slot back, and its process lives", run)
                waiter = self._waiters.setdefault(run, Waiter())
                waiter.waits = {wait.call: wait.kind for wait in event.waits}
                waiter.keep()
            case "RunAsked":
                self._waiters.setdefault(run, Waiter()).waits |= {
                    wait.call: wait.kind for wait in event.waits
                }
            case "RunAnswered":
                self._answer(run, event)
            case name if name in _ENDS:
                self._ended.add(run)
                self._waiters.pop(run, None)

    def _child(self, run: UUID, call: Call) -> None:
        self.world.happens("child made")
        said = call[0], unsalted(call[1])
        if said in self._said:
            self.world.broke("two children of one call", *said, self._said[said], run)
        self._said[said] = self.made[call] = run
        self._asked_by[run] = call

    def _answer(self, run: UUID, event: Any) -> None:
        waiter = self._waiters.get(run, Waiter())
        if event.call not in waiter.waits:
            self.world.broke("an answer that nobody waits for", run, event.call.hex())
        if event.call in waiter.answers:
            self.world.broke("a call was answered twice", run, event.call.hex())
        waiter.answers.add(event.call)
        self.told.setdefault((run, event.call), []).append(event.value.content)
        if waiter.waits.get(event.call) == "run":
            self.world.happens("parent answered")

    def after_commit(self, row: Workspace, suspended: Iterable[UUID]) -> None:
        """A child that has ended, and a parent suspended on it without an answer, must never be; nor a slot of one that waits."""
        taken = set().union(*row.taken.values())
        for run in suspended:
            if row.run(run) is None:
                continue  # of another workspace
            if run in taken:
                self.world.broke("a run that waits without a process holds a slot", run)
            waiter = self._waiters[run]
            for call, kind in waiter.waits.items():
                child = self.made.get((run, call)) if kind == "run" else None
                if child in self._ended and call not in waiter.answers:
                    self.world.broke("its child has ended, and nobody told it", run, child)
