"""What people and programs want of the control plane: runs, cancels, answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headway_control_plane.application.ports import Unavailable
from headway_control_plane.domain.commands import AnswerRun, CancelRun, CreateRun
from headway_control_plane.domain.errors import Refused
from headway_control_plane.domain.streams import Blob, StreamKind
from simulation.faults import Faults
from simulation.flows import Flow, draw_flow
from simulation.world import World

if TYPE_CHECKING:
    from simulation.database import Database, Workspace
    from simulation.replica import Replica


class Clients:
    """`accepted` are the runs whose creation was confirmed, and their workspaces; `answered` the confirmed answers."""

    def __init__(
        self,
        world: World,
        faults: Faults,
        database: Database,
        dialable: Callable[[], list[Replica]],
        flows: dict[str, Flow],
    ) -> None:
        self.world = world
        self.faults = faults
        self.database = database
        self.flows = flows
        self.wanted = 0
        self.accepted: dict[UUID, int] = {}
        self.answered: list[tuple[UUID, str, Any]] = []
        self._dialable = dialable

    @property
    def all_accepted(self) -> bool:
        return len(self.accepted) == self.wanted

    def plan_runs(self, deployments: dict[int, Sequence[UUID]], within: float) -> None:
        random = self.world.random
        for _ in range(random.randint(6, 20)):
            ws = random.choice(list(deployments))
            run = self.world.new_id()
            self.flows[str(run)] = draw_flow(random, self.faults)
            self.wanted += 1
            labels = Blob(b"l" * 32, b'{"name": "", "tags": []}')
            create = CreateRun(
                run,
                random.choices(deployments[ws], (6, 1, 1))[0],
                1,
                Blob(b"p" * 32, b"{}"),
                labels,
                priority=random.randint(1, 5),
            )
            at = random.uniform(0, within)
            self.world.after(at, self.ask, ws, create, partial(self.accepted.__setitem__, run, ws))
            if random.random() < self.faults.cancel:
                self.world.after(at + random.uniform(0, 200), self._cancel, ws, run)

    def answer_questions(self) -> None:
        """People look now and then whether something waits for them, and may answer what another has answered by then."""
        self.world.after(5.0, self.answer_questions)
        for row in self.database.workspaces.values():
            for run in row.of(StreamKind.RUN):
                if run.is_suspended or run.reason == "input" or self.world.chance(0.1):
                    self._answer(row, run)

    def _answer(self, row: Workspace, run: Any) -> None:
        told = dict(run.answers)
        for wait in run.waits:
            if wait.kind == "input" and wait.call not in told and self.world.chance(0.25):
                value = f"answer {self.world.number()}"
                command = AnswerRun(run.run, wait.call, Blob.of(json.dumps(value).encode()))
                self.ask(row.ws, command, partial(self._was_answered, run.run, wait.call, value))

    def _was_answered(self, run: UUID, call: bytes, value: str) -> None:
        self.world.happens("run answered")
        self.answered.append((run, call.hex(), value))

    def _cancel(self, ws: int, run: UUID) -> None:
        self.world.happens("run cancelled")
        self.ask(ws, CancelRun(run), lambda: None)

    def ask(self, ws: int, command: Any, done: Callable[[], None]) -> None:
        """A client asks some replica, and asks again, with the same ids, until it was answered."""
        replicas = self._dialable()
        if not replicas:
            self.world.after(2.0, self.ask, ws, command, done)
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
            self.ask(ws, command, done)
