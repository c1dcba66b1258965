"""The states that one flush has loaded, and how an event moves them. Every command of the flush sees its predecessors' events here."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from headway_control_plane.domain.agent.events import AgentEnrolled, AgentRevoked
from headway_control_plane.domain.agent.state import AgentState
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.deployment.state import DeploymentState
from headway_control_plane.domain.errors import IllegalTransition
from headway_control_plane.domain.policy import Policy
from headway_control_plane.domain.pool.events import PoolChanged, PoolCreated
from headway_control_plane.domain.pool.state import PoolState
from headway_control_plane.domain.run.events import RunCreated, RunEvent
from headway_control_plane.domain.run.evolve import created, evolve_attempt, evolve_run
from headway_control_plane.domain.run.state import AttemptState, Deadline, RunState
from headway_control_plane.domain.session.evolve import evolve_session
from headway_control_plane.domain.session.state import SessionState
from headway_control_plane.domain.streams import Decided, Stream, StreamKind
from headway_control_plane.domain.variables import state as variables
from headway_control_plane.domain.variables.state import VariablesState

State = (
    RunState
    | AttemptState
    | SessionState
    | DeploymentState
    | PoolState
    | AgentState
    | VariablesState
)


class States:
    """Stream -> state, for one workspace. What was never put is absent: the loader puts all that a command's `needs` name and that exists.

    `shard_epoch` is that of the workspace's shard, read in the flush.
    """

    def __init__(self, shard_epoch: int = 0) -> None:
        self.shard_epoch = shard_epoch
        self._states: dict[Stream, State] = {}
        self._dirty: set[Stream] = set()
        self._loaded: dict[Stream, State] = {}
        self._askers: dict[UUID, set[tuple[UUID, bytes]]] = {}

    def put(self, stream: Stream, state: State) -> None:
        """Takes in a state as loaded."""
        self._states[stream] = self._loaded[stream] = state

    def put_asker(self, child: UUID, parent: UUID, call: bytes) -> None:
        """Takes in that a call stands for a run, as loaded."""
        self._askers.setdefault(child, set()).add((parent, call))

    def askers(self, child: RunState) -> set[tuple[UUID, bytes]]:
        """The calls that stand for a run, as far as they are loaded: that which it was made for, and those that took it later."""
        askers = set(self._askers.get(child.run, ()))
        if child.parent_run is not None:
            askers.add((child.parent_run, child.parent_call))
        return askers

    def loaded_deadline(self, stream: Stream) -> Deadline | None:
        """The deadline that the stream had when it was loaded: what its timer says."""
        state = self._loaded.get(stream)
        return state.deadline if isinstance(state, RunState | SessionState) else None

    def loaded_run(self, run: UUID) -> RunState | None:
        """The run as its row has it; None for one that was made since."""
        state = self._loaded.get(Stream(StreamKind.RUN, run))
        return state if isinstance(state, RunState) else None

    def run(self, run: UUID) -> RunState | None:
        state = self._states.get(Stream(StreamKind.RUN, run))
        return state if isinstance(state, RunState) else None

    def runs(self) -> list[RunState]:
        """All that the flush has loaded or made."""
        return [state for state in self._states.values() if isinstance(state, RunState)]

    def attempt(self, run: UUID, fence: int) -> AttemptState | None:
        state = self._states.get(Stream(StreamKind.ATTEMPT, run, fence))
        return state if isinstance(state, AttemptState) else None

    def session(self, session: UUID) -> SessionState | None:
        state = self._states.get(Stream(StreamKind.SESSION, session))
        return state if isinstance(state, SessionState) else None

    def deployment(self, deployment: UUID) -> DeploymentState | None:
        state = self._states.get(Stream(StreamKind.DEPLOYMENT, deployment))
        return state if isinstance(state, DeploymentState) else None

    def pool(self, pool: UUID) -> PoolState | None:
        state = self._states.get(Stream(StreamKind.POOL, pool))
        return state if isinstance(state, PoolState) else None

    def agent(self, agent: UUID) -> AgentState | None:
        state = self._states.get(Stream(StreamKind.AGENT, agent))
        return state if isinstance(state, AgentState) else None

    def variables(self) -> VariablesState | None:
        state = self._states.get(variables.STREAM)
        return state if isinstance(state, VariablesState) else None

    def version(self, stream: Stream) -> int:
        """How many events the stream has, 0 for one that is not there. An attempt's is its last fact's seq."""
        state = self._states.get(stream)
        if state is None:
            return 0
        return state.last_seq if isinstance(state, AttemptState) else state.version

    def accept_facts(self, run: UUID, fence: int, last_seq: int) -> None:
        """Moves an attempt's guard to its newest fact."""
        stream = Stream(StreamKind.ATTEMPT, run, fence)
        attempt = self._states[stream]
        assert isinstance(attempt, AttemptState)
        self._move(stream, replace(attempt, last_seq=last_seq))

    def evolve(self, decided: Decided, at: datetime, policy: Policy) -> None:
        """Applies one event to every state that it touches."""
        stream, event = decided.stream, decided.event
        match stream.kind:
            case StreamKind.RUN:
                self._evolve_run(stream, event, at, policy)
            case StreamKind.SESSION:
                self._move(
                    stream, evolve_session(self.session(stream.id), stream.id, event, at, policy)
                )
            case StreamKind.DEPLOYMENT:
                self._move(
                    stream, _evolve_deployment(self.deployment(stream.id), stream.id, event, at)
                )
            case StreamKind.POOL:
                self._move(stream, _evolve_pool(self.pool(stream.id), stream.id, event, at))
            case StreamKind.AGENT:
                self._move(stream, _evolve_agent(self.agent(stream.id), stream.id, event, at))
            case StreamKind.VARIABLES:
                self._move(stream, variables.evolve(self.variables(), event, at))
            case StreamKind.WORKSPACE | StreamKind.ATTEMPT:
                return

    def dirty(self) -> dict[Stream, State]:
        """What has moved since it was loaded, to be stored in the same transaction as the events."""
        return {
            stream: self._states[stream]
            for stream in sorted(self._dirty, key=lambda s: (s.kind, s.id.int, s.fence))
        }

    def _move(self, stream: Stream, state: State) -> None:
        self._states[stream] = state
        self._dirty.add(stream)

    def _evolve_run(self, stream: Stream, event: RunEvent, at: datetime, policy: Policy) -> None:
        before = self.run(stream.id)
        if before is None:
            if not isinstance(event, RunCreated):
                raise IllegalTransition(f"{type(event).__name__} on a run that was never created")
            self._move(stream, created(stream.id, event, at, policy))
            return
        attempt = self.attempt(stream.id, before.fence)
        began = attempt is not None and attempt.started_at is not None
        after = evolve_run(before, event, at, policy, began=began)
        moved = evolve_attempt(attempt, stream.id, event, at)
        self._move(stream, after)
        if moved is not None and moved != attempt:
            self._move(Stream(StreamKind.ATTEMPT, stream.id, moved.fence), moved)
            self._take_or_release_slot(before.pool, attempt, moved)

    def _take_or_release_slot(
        self, pool: UUID, before: AttemptState | None, after: AttemptState
    ) -> None:
        """Keeps the loaded count of taken slots true for the flush's next commands; the rows follow from the attempts."""
        was_open = before is not None and before.fence == after.fence and before.is_open
        state = self.pool(pool)
        if state is not None and was_open != after.is_open:
            stream = Stream(StreamKind.POOL, pool)
            self._states[stream] = replace(
                state, slots_taken=state.slots_taken + (1 if after.is_open else -1)
            )


def _evolve_deployment(
    state: DeploymentState | None, deployment: UUID, event: DeploymentDeployed, at: datetime
) -> DeploymentState:
    if state is None:
        return DeploymentState(deployment, 1, event, at, at)
    return replace(state, version=state.version + 1, spec=event, deployed_at=at)


def _evolve_pool(
    state: PoolState | None, pool: UUID, event: PoolCreated | PoolChanged, at: datetime
) -> PoolState:
    if isinstance(event, PoolCreated):
        return PoolState(pool, 1, event.name, event.permits, event.slots, 0, at)
    if state is None:
        raise IllegalTransition("PoolChanged on a pool that was never created")
    return replace(state, version=state.version + 1, permits=event.permits, slots=event.slots)


def _evolve_agent(
    state: AgentState | None, agent: UUID, event: AgentEnrolled | AgentRevoked, at: datetime
) -> AgentState:
    if isinstance(event, AgentEnrolled):
        return AgentState(agent, 1, event.name, event.pool, event.public_key, at, None)
    if state is None:
        raise IllegalTransition("AgentRevoked on an agent that was never enrolled")
    return replace(state, version=state.version + 1, revoked_at=at)
