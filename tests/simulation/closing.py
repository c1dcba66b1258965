"""What must hold when a seed ends: nothing acknowledged is missing, the log says what was executed, nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headway_agent.runner.api import AttemptKey
from headway_api.event.v1 import attempt_pb2
from headway_control_plane.domain.streams import StreamKind
from simulation.closing_told import Told
from simulation.flows import task_of, unsalted

if TYPE_CHECKING:
    from headway_control_plane.domain.run.state import RunState
    from simulation.agent import Agent
    from simulation.checks_families import Families
    from simulation.database import Entry, Workspace
    from simulation.flows import Flow
    from simulation.world import World

_DONE = {attempt_pb2.CALL_OUTCOME_COMPLETED, attempt_pb2.CALL_OUTCOME_SKIPPED}
Facts = dict[AttemptKey, list["Entry"]]


class Closing:
    """The last look at everything."""

    def __init__(
        self,
        world: World,
        workspaces: Iterable[Workspace],
        agents: list[Agent],
        flows: dict[str, Flow],
        families: Families,
    ) -> None:
        self._world = world
        self._workspaces = list(workspaces)
        self._agents = agents
        self._flows = flows
        self._families = families
        self._facts: Facts = {}
        for row in self._workspaces:
            for entry in row.log:
                if entry.stream.kind is StreamKind.ATTEMPT:
                    key = AttemptKey(str(entry.stream.id), entry.stream.fence)
                    self._facts.setdefault(key, []).append(entry)

    def safety(self, accepted: dict[UUID, int], answered: list[tuple[UUID, str, Any]]) -> None:
        """`accepted` are the runs whose creation was confirmed, and their workspaces; `answered` the answers."""
        for run, ws in accepted.items():
            if self._row(ws).run(run) is None:
                self._world.broke("an accepted run is not in the log", run)
        hosts = {agent.host.name: agent.host for agent in self._agents}
        told = Told(self._world, hosts, self._families, self._facts)
        told.confirmed(answered)
        for flow in {id(flow): flow for flow in self._flows.values()}.values():
            told.heard(flow)
            told.sums(flow)
        for agent in self._agents:
            self._acknowledged(agent)
            self._witness(agent)
            for key in agent.host.directories:
                self._same_words(agent, key)
        for run_id, flow in self._flows.items():
            self._journal_rule(run_id, flow)

    def _row(self, ws: int) -> Workspace:
        return next(row for row in self._workspaces if row.ws == ws)

    def _acknowledged(self, agent: Agent) -> None:
        row = self._row(agent.identity.ws)
        for key, held in agent.host.rows.items():
            logged = len(self._facts.get(key, ()))
            for seq in range(logged + 1, held.acked_seq + 1):
                if (UUID(key.run), key.fence, seq) not in row.late:
                    self._world.broke("an acknowledged fact is lost", key, seq, "logged", logged)

    def _witness(self, agent: Agent) -> None:
        seen = agent.host.witness
        if seen is not None and self._row(agent.identity.ws).chains.get(seen.offset) != seen.chain:
            self._world.broke("the log is not the one that was witnessed", seen.offset)

    def _same_words(self, agent: Agent, key: AttemptKey) -> None:
        """What stands in the log is what stands in the file, fact by fact."""
        frames = agent.host.directories[key].frames
        for entry in self._facts.get(key, ()):
            if entry.version > len(frames):
                self._world.broke("the log knows facts that the disk lost", key, entry.version)
                return
            frame = frames[entry.version - 1]
            kind = "".join(part.title() for part in entry_type(frame).split("."))
            call = getattr(_decoded(entry), "call", b"").hex()
            if kind != entry.type or call.encode() not in frame:
                self._world.broke(
                    "the log tells another story than the disk", key, entry.version, kind
                )

    def _journal_rule(self, run_id: str, flow: Flow) -> None:
        """A body that was completed on a machine is not executed there again, unless a power cut took its end."""
        hosts = {agent.host.name: agent.host for agent in self._agents}
        for body in flow.bodies:
            host = hosts[body.host]
            for earlier in flow.bodies:
                again = (
                    earlier.host == body.host
                    and earlier.task == body.task
                    and earlier.key.fence < body.key.fence
                    and earlier.kept_at is not None
                    and earlier.kept_at < body.attempt_began
                )
                if again and not host.power_cuts:
                    self._world.broke("executed again what the journal holds", body)
        for key, entries in self._facts.items():
            if key.run == run_id:
                self._executed(key, entries, flow)

    def _executed(self, key: AttemptKey, entries: list[Entry], flow: Flow) -> None:
        """A task that the log calls completed was executed in that attempt; a skipped one, before."""
        for entry in entries:
            if entry.type != "CallEnded":
                continue
            said = _decoded(entry)
            if said.outcome not in _DONE:
                continue
            task = task_of(said.call)
            if task is None:
                continue
            skipped = said.outcome == attempt_pb2.CALL_OUTCOME_SKIPPED
            if not any(
                body.task == task and (body.key.fence < key.fence if skipped else body.key == key)
                for body in flow.bodies
            ):
                self._world.broke("the log tells of what nobody executed", key, task)

    # Liveness -----------------------------------------------------------------------------------------------

    def unfinished(self) -> list[Any]:
        """Runs that should have ended by now. A paused one waits for a person."""
        return [
            (str(run.run)[:8], run.status.value, run.fence, run.reason)
            for row in self._workspaces
            for run in row.of(StreamKind.RUN)
            if not run.is_terminal and not self._waits_for_a_person(row, run)
        ]

    def _waits_for_a_person(self, row: Workspace, run: RunState) -> bool:
        """It is held, or waits for a run that is."""
        if run.status != "paused":
            return False
        if not run.is_suspended:
            return True
        told = dict(run.answers)
        # By the run that it names: on another agent than the first its call has another key.
        asked = [row.run(w.run) for w in run.waits if w.run is not None and w.call not in told]
        return any(child is not None and self._waits_for_a_person(row, child) for child in asked)

    def left_over(self) -> list[Any]:
        """What still holds something although everything has ended."""
        slots = [len(runs) for row in self._workspaces for runs in row.taken.values() if runs]
        alive = [
            (agent.host.name, key)
            for agent in self._agents
            for key, directory in agent.host.directories.items()
            if directory.writer is not None
        ]
        unsaid = [
            (agent.host.name, *key)
            for agent in self._agents
            for key, row in agent.host.rows.items()
            if row.state != "closed"
        ]
        return slots + alive + unsaid

    def completed_wholly(self) -> None:
        """A completed run executed all its tasks."""
        for row in self._workspaces:
            for run in row.of(StreamKind.RUN):
                flow = self._flows[str(run.run)]
                done = {body.task for body in flow.bodies if body.kept_at is not None}
                if run.status == "completed" and done != set(range(len(flow.tasks))):
                    self._world.broke("completed without its tasks", run.run, done)
                asked = {call for ask in flow.asks for call in ask.calls}
                heard = {unsalted(bytes.fromhex(heard.call)).hex() for heard in flow.heard}
                if run.status == "completed" and not asked <= heard:
                    self._world.broke("completed without its children", run.run, asked - heard)


def entry_type(frame: bytes) -> str:
    return frame.split(b'"', 4)[3].decode()


def _decoded(entry: Entry) -> Any:
    return getattr(attempt_pb2, entry.type).FromString(entry.payload)
