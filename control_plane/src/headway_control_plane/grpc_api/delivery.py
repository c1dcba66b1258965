"""Brings grants, answers, cancels and ends to the agents whose streams end here: at once for what this process commits, by looking for the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar
from uuid import UUID

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.application.ports import CommitNotice
from headway_control_plane.clock import Clock
from headway_control_plane.dispatch.quarantine import Quarantine, piecewise
from headway_control_plane.domain.agent.events import AgentRevoked
from headway_control_plane.domain.run.events import (
    RunAnswered,
    RunAsked,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunCrashed,
    RunFailed,
    RunGranted,
    RunPaused,
    RunReattached,
    RunRescheduled,
    RunSuspended,
)
from headway_control_plane.domain.session.events import SessionClosed, SessionResumed
from headway_control_plane.domain.streams import Decided, StreamKind
from headway_control_plane.grpc_api.ledger import OpenAttempt
from headway_control_plane.grpc_api.registry import Cut, LiveSession, Registry, SessionKey
from headway_control_plane.grpc_api.settings import AgentServerSettings
from headway_control_plane.grpc_api.store import Assignment, SessionStore
from headway_control_plane.grpc_api.wire import attempt_ref

T = TypeVar("T")

RUNS_A_LOOK = 200
SESSIONS_A_LOOK = 1000
_SUPERSEDED = "superseded"


class Delivery:
    """Work of a service. Every message follows from rows and from what the agent was told before, so looking twice says nothing twice."""

    name = "delivery"

    def __init__(
        self,
        store: SessionStore,
        registry: Registry,
        clock: Clock,
        settings: AgentServerSettings,
        *,
        replica: UUID,
        alone: Callable[[], bool],
        wake: Callable[[], None],
        revoked: Callable[[UUID], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._replica = replica
        self._alone = alone
        self._wake = wake
        self._revoked = revoked
        self._granted: defaultdict[int, set[UUID]] = defaultdict(set)
        self._asked: set[tuple[int, UUID]] = set()
        self._dirty: set[SessionKey] = set()
        self._swept_at = float("-inf")
        # What can't be read or told, for reasons that nobody foresaw.
        self.broken_runs = Quarantine[tuple[int, UUID]]("run", clock)
        self.broken_sessions = Quarantine[SessionKey]("session", clock)

    @property
    def interval(self) -> float:
        """Other replicas' hints may get lost; alone there is nobody else to grant."""
        settings = self._settings
        seconds = settings.sweep_interval_alone if self._alone() else settings.sweep_interval
        return seconds.total_seconds()

    def look_at(self, live: LiveSession) -> None:
        """Compare this session with its rows soon."""
        self._dirty.add(live.key)
        self._wake()

    def on_hint(self, shard: int) -> None:
        """Another process committed in this shard. Our own commits are known by their notices."""
        if self._alone():
            return
        keys = [live.key for live in self._registry if live.identity.shard == shard]
        if keys:
            self._dirty.update(keys)
            self._wake()

    def on_commit(self, notice: CommitNotice) -> None:
        for decided in notice.decided:
            match decided.stream.kind:
                case StreamKind.RUN:
                    self._run_moved(notice.ws, decided)
                case StreamKind.SESSION:
                    self._session_moved(notice.ws, decided)
                case StreamKind.AGENT if isinstance(decided.event, AgentRevoked):
                    self._agent_revoked(notice.ws, decided.stream.id)
                case _:
                    pass

    async def run_once(self) -> bool:
        """Deliver what was granted here; then compare sessions that may know too little."""
        if self._granted:
            ws, runs = self._granted.popitem()
            now, later = _split(runs, RUNS_A_LOOK)
            if later:
                self._granted[ws] |= later
            await self._assign(ws, now)
            return bool(self._granted or self._dirty)
        if self._clock.monotonic() - self._swept_at >= self.interval * 0.8:
            await self._sweep()
        if not self._dirty:
            return False
        keys, self._dirty = _split(self._dirty, SESSIONS_A_LOOK)
        await self._compare([live for key in keys if (live := self._registry.get(key))])
        return bool(self._granted or self._dirty)

    def _run_moved(self, ws: int, decided: Decided) -> None:
        run, event = decided.stream.id, decided.event
        match event:
            case RunGranted():
                if self._registry.get((ws, event.session)) is not None:
                    self._granted[ws].add(run)
                    self._wake()
            case RunCancelRequested() | RunAnswered() | RunAsked():
                self._say(ws, run, cancel=isinstance(event, RunCancelRequested))
            case RunCompleted() | RunCrashed() | RunFailed() | RunCancelled():
                live = self._registry.ended(ws, run)
                if live is not None and _seen_to_end(event):
                    live.forget(run)
            case RunRescheduled() | RunPaused() | RunSuspended():
                self._registry.ended(ws, run)
            case RunReattached():
                live = self._registry.executing(ws, run)
                if live is not None and live.key[1] != event.session:
                    self._registry.ended(ws, run)
            case _:
                pass

    def _say(self, ws: int, run: UUID, *, cancel: bool) -> None:
        """A cancel, or that there may be answers for a flow that waits in its process: it may ask what was answered before."""
        live = self._registry.executing(ws, run)
        if live is not None and cancel:
            _tell_cancel(live, run)
        elif live is not None or (ws, run) in self._asked:
            # Read for its answers; or its Assign is being read at this moment, perhaps from before the event.
            self._granted[ws].add(run)
            self._wake()

    def _session_moved(self, ws: int, decided: Decided) -> None:
        live = self._registry.get((ws, decided.stream.id))
        if live is None:
            return
        match decided.event:
            case SessionClosed(reason=reason):
                live.cut(Cut.SUPERSEDED if reason == _SUPERSEDED else Cut.SESSION_OVER)
            case SessionResumed(replica=replica) if replica != self._replica:
                live.cut(Cut.MOVED)
            case _:
                pass

    def _agent_revoked(self, ws: int, agent: UUID) -> None:
        self._revoked(agent)
        for live in self._registry.of_agent(ws, agent):
            live.cut(Cut.REVOKED)

    async def _sweep(self) -> None:
        """All sessions, at intervals: the way on which nothing depends on a notice or a hint."""
        self._swept_at = self._clock.monotonic()
        self.broken_runs.prune()
        self.broken_sessions.prune()
        self._dirty.update(live.key for live in self._registry)
        if len(self._registry) and not self._alone():
            connected = {(live.key[0], live.identity.agent) for live in self._registry}
            for ws, agent in await self._store.revoked(connected):
                self._agent_revoked(ws, agent)

    async def _assign(self, ws: int, runs: set[UUID]) -> None:
        runs = {run for run in runs if not self.broken_runs.rests((ws, run))}
        asked = {(ws, run) for run in runs}
        self._asked |= asked

        def set_aside(run: UUID, error: Exception) -> None:
            self.broken_runs.set_aside((ws, run), error)

        try:
            await piecewise(runs, partial(self._assign_some, ws), set_aside)
        except BaseException:
            self._granted[ws] |= runs  # asked again after the outage
            raise
        finally:
            self._asked -= asked

    async def _assign_some(self, ws: int, runs: list[UUID]) -> None:
        found = await self._store.assignments(ws, runs)
        await self._tell_variables(ws, found)
        for assignment in found:
            live = self._registry.get((ws, assignment.session))
            if live is not None:
                self._tell_assign(live, assignment)
        for run in runs:
            self.broken_runs.works((ws, run))

    async def _tell_variables(self, ws: int, found: Iterable[Assignment]) -> None:
        """Ahead of an Assign, if they changed since this stream's agent was told. Their version was read with the run, after it was
        created, so that the run gets whatever was set before it, through whichever replica.
        """
        behind = [
            live
            for session, version in {a.session: a.variables for a in found}.items()
            if (live := self._registry.get((ws, session))) and live.ledger.variables != version
        ]
        if not behind:
            return
        variables = await self._store.variables(ws)
        for live in behind:
            if live.ledger.variables != variables.version:
                live.ledger.variables = variables.version
                live.deliver(pb.SessionResponse(variables=variables))

    def _tell_assign(self, live: LiveSession, assignment: Assignment) -> None:
        attempt = (assignment.run, assignment.fence)
        is_new = live.ledger.assign(*attempt)
        answers = live.ledger.answer(*attempt, assignment.answers_given())
        if is_new:
            self._registry.executes(live, assignment.run)
            most = self._settings.limits.assign_answers_bytes
            for message in assignment.messages(self._settings.pages, most):  # with the answers
                live.deliver(message)
        else:
            for answer in answers:
                told = pb.AttemptAnswer(attempt=attempt_ref(attempt), answer=answer)
                live.deliver(pb.SessionResponse(answer=told))
        live.ledger.looked(assignment.run, assignment.version)
        if assignment.cancel:
            _tell_cancel(live, assignment.run)

    async def _compare(self, lives: Iterable[LiveSession]) -> None:
        keys = [live.key for live in lives if not self.broken_sessions.rests(live.key)]
        await piecewise(keys, self._compare_some, self.broken_sessions.set_aside)

    async def _compare_some(self, keys: list[SessionKey]) -> None:
        here = {key: live for key in keys if (live := self._registry.get(key))}
        if not here:
            return
        gone: dict[tuple[int, UUID], tuple[int, LiveSession]] = {}
        for key, view in (await self._store.session_views(here)).items():
            live = here[key]
            if view.status == "closed":
                live.cut(Cut.SESSION_OVER)
            elif view.replica != self._replica:
                live.cut(Cut.MOVED)
            else:
                for run, fence in self._tell(live, view.attempts):
                    gone[key[0], run] = (fence, live)
        if gone:
            named = [(ws, run, fence) for (ws, run), (fence, _) in gone.items()]
            for ws, run in await self._store.ended_runs(named):
                gone[ws, run][1].forget(run)
        for key in keys:
            self.broken_sessions.works(key)

    def _tell(self, live: LiveSession, rows: Iterable[OpenAttempt]) -> Iterable[tuple[UUID, int]]:
        differences = live.ledger.compare(rows)
        if differences.assign:
            self._granted[live.key[0]].update(differences.assign)
        if differences.answers:
            self._granted[live.key[0]].update(differences.answers)
        for run in differences.cancel:
            _tell_cancel(live, run)
        for run, _ in differences.gone:
            self._registry.ended(live.key[0], run)
        return differences.gone


def _tell_cancel(live: LiveSession, run: UUID) -> None:
    attempt = live.ledger.cancel(run)
    if attempt is not None:
        live.deliver(pb.SessionResponse(cancel=pb.Cancel(attempt=attempt_ref(attempt))))


def _seen_to_end(event: RunCompleted | RunCrashed | RunFailed | RunCancelled) -> bool:
    """Whether the agent itself reported the end. If not, it may still have something to say, which is kept as late."""
    match event:
        case RunFailed(cause=cause):
            return cause in {"error", "refused"}
        case RunCancelled(evidence=evidence):
            return evidence == "death seen"
        case _:
            return True


def _split(items: set[T], most: int) -> tuple[set[T], set[T]]:
    ordered = list(items)
    return set(ordered[:most]), set(ordered[most:])
