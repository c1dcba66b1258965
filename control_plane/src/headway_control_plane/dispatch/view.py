"""What the dispatcher knows of one workspace: pure. Events and rows go in, inputs of the core come out.

Rows are absolute and may be read at any time; events are folded in order. Folding again what rows already say changes nothing, so a
load and the notices that came in while it ran can be put together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from headway_control_plane.domain.commands import CreateRun
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.dispatching_words import (
    AttemptClosed,
    AttemptOpened,
    Input,
    PoolIs,
    RunGone,
    RunWaits,
    SessionDown,
    SessionUp,
)
from headway_control_plane.domain.pool.events import PoolChanged, PoolCreated
from headway_control_plane.domain.run.events import (
    RunAnswered,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunCrashed,
    RunCreated,
    RunFailed,
    RunGranted,
    RunPaused,
    RunReattached,
    RunRescheduled,
    RunResumed,
    RunSuspended,
)
from headway_control_plane.domain.run.evolve import LEAVES_HOME
from headway_control_plane.domain.session.events import (
    SessionClosed,
    SessionLost,
    SessionOpened,
    SessionResumed,
)
from headway_control_plane.domain.streams import Decided, StreamKind

_ENDS = (RunCompleted, RunFailed, RunCrashed, RunCancelled)
_LAST, _LONG_AGO = 5, datetime.min.replace(tzinfo=UTC)
_TELLS_TOO_LITTLE = (RunGranted, RunReattached, RunRescheduled, RunResumed, RunAnswered)


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run that waits for a grant, or whose newest attempt is open (then `session` has it)."""

    run: UUID
    pool: UUID
    key: UUID
    priority: int
    due_at: datetime
    session: UUID | None
    home: UUID | None = None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session that is not closed; a lost one (not `up`) takes no work."""

    session: UUID
    pool: UUID
    slots: int
    up: bool = True
    agent: UUID | None = None


@dataclass(frozen=True, slots=True)
class PoolRow:
    pool: UUID
    name: str
    slots: int


@dataclass(slots=True)
class Rows:
    """Everything of a workspace that scheduling needs: runs that wait or are open, sessions that take work, pools."""

    runs: list[RunRow] = field(default_factory=list)
    sessions: list[SessionRow] = field(default_factory=list)
    pools: list[PoolRow] = field(default_factory=list)


class View:
    """One workspace. `granting` are runs whose grant is on its way to the log; rows read meanwhile say nothing about them.

    `unknown` are runs whose row has to be read: an event named them that says too little, or a grant was refused.
    """

    def __init__(self, ws: int) -> None:
        self.ws = ws
        self.granting: set[UUID] = set()
        self.unknown: set[UUID] = set()
        self._runs: dict[UUID, RunRow] = {}
        self._sessions: dict[UUID, SessionRow] = {}
        self._pools: dict[UUID, PoolRow] = {}
        self._pool_of: dict[UUID, UUID] = {}  # deployment -> pool, as far as it was seen

    def load(self, rows: Rows) -> list[Input]:
        """Take in all rows; what is not among them is no more."""
        inputs: list[Input] = []
        for pool in rows.pools:
            inputs += self._pool(pool)
        present = {row.session for row in rows.sessions}
        for session in [s for s in self._sessions if s not in present]:
            inputs += self._gone(session)
        for row in rows.sessions:
            inputs += self._session(row)
        seen = {row.run for row in rows.runs}
        for run in [r for r in self._runs if r not in seen and r not in self.granting]:
            inputs += self._over(run)
        return inputs + self.load_runs(rows.runs)

    def load_runs(self, rows: Iterable[RunRow], asked: Iterable[UUID] = ()) -> list[Input]:
        """Take in rows of single runs; one that was asked for and has no row neither waits nor is open."""
        present = {row.run: row for row in rows}
        inputs: list[Input] = []
        for run in asked:
            self.unknown.discard(run)
            if run not in present and run not in self.granting:
                inputs += self._over(run)
        for row in present.values():
            self._pool_of.setdefault(row.key, row.pool)
            if row.run not in self.granting:
                inputs += self._run(row)
        return inputs

    def load_session(self, session: UUID, row: SessionRow | None) -> list[Input]:
        """Take in the row of one session; none: it was closed."""
        return self._session(row) if row is not None else self._gone(session)

    def fold_all(self, decided: Iterable[Decided]) -> list[Input]:
        """Take in the events of a commit."""
        return [given for one in decided for given in self.fold(one)]

    def fold(self, decided: Decided) -> list[Input]:
        """Take in one event, as committed."""
        match decided.stream.kind:
            case StreamKind.RUN:
                return self._fold_run(decided.stream.id, decided.event)
            case StreamKind.SESSION:
                return self._fold_session(decided.stream.id, decided.event)
            case StreamKind.POOL:
                return self._fold_pool(decided.stream.id, decided.event)
            case StreamKind.DEPLOYMENT if isinstance(decided.event, DeploymentDeployed):
                self._pool_of[decided.stream.id] = decided.event.pool
                return []
            case _:
                return []

    def begins(self, command: CreateRun, now: datetime) -> RunWaits | None:
        """How a run that is about to be created will wait; None where that is not known before."""
        pool = self._pool_of.get(command.deployment)
        is_later = command.due_at is not None and command.due_at > now
        if pool is None or is_later or command.forked_from or command.run in self._runs:
            return None
        due_at = command.due_at or now
        return RunWaits(self.ws, command.run, pool, command.deployment, command.priority, due_at)

    def granted_ahead(self, item: RunWaits) -> None:
        """A run gets its grant in the flush that creates it: known from now on, so that a refusal finds it."""
        self._runs[item.run] = RunRow(
            item.run, item.pool, item.key, item.priority, item.due_at, None
        )

    def ends(self, run: UUID) -> AttemptClosed | None:
        """The end of its open attempt, which is about to come; None if none is known."""
        row = self._runs.get(run)
        if row is None or row.session is None:
            return None
        return AttemptClosed(self.ws, run, row.pool, row.session)

    def did_not_end(self, run: UUID) -> list[Input]:
        """Its attempt, whose slot was given away ahead, still holds it if it is known at all."""
        row = self._runs.get(run)
        return self._open(row) if row is not None and row.session is not None else []

    def refused(self, run: UUID) -> list[Input]:
        """A grant was refused: nothing we know of the run holds until its row was read again."""
        self.granting.discard(run)
        inputs = self._over(run)
        self.unknown.add(run)
        return inputs

    # Runs -----------------------------------------------------------------------------------------------

    def _fold_run(self, run: UUID, event: Any) -> list[Input]:
        if isinstance(event, RunCreated):
            return self._created(run, event)
        row_known = self._runs.get(run)
        if isinstance(event, _ENDS):
            return self._over(run)
        if row_known is None:
            # Paused runs are not loaded, nor is anything from before a load that is under way: its row tells.
            if isinstance(event, _TELLS_TOO_LITTLE):
                self.unknown.add(run)
            return self._holds(run, event)
        match event:
            case RunGranted(session=session) | RunReattached(session=session):
                return self._open(replace(row_known, session=session))
            case RunRescheduled(due_at=due_at, cause=cause):
                home = None if cause in LEAVES_HOME else row_known.home
                return self._close(row_known) + self._run(
                    replace(row_known, session=None, due_at=due_at, home=home)
                )
            case RunResumed(due_at=due_at):
                return self._close(row_known) + self._run(
                    replace(row_known, session=None, due_at=due_at)
                )
            case RunPaused() | RunSuspended():
                return self._over(run)
            case RunCancelRequested():
                # An open attempt keeps its slot until its end is seen; a waiting run is cancelled by the next event.
                return []
            case _:
                return []

    def _holds(self, run: UUID, event: Any) -> list[Input]:
        """An attempt of a run that is not known takes its slot now. All else of it its row will tell."""
        if not isinstance(event, RunGranted | RunReattached):
            return []
        session = self._sessions.get(event.session)
        if session is None:
            return []
        return self._open(RunRow(run, session.pool, run, _LAST, _LONG_AGO, event.session))

    def _created(self, run: UUID, event: RunCreated) -> list[Input]:
        row = RunRow(
            run, event.pool, event.deployment, event.priority, event.due_at, None, event.home
        )
        self._pool_of[event.deployment] = event.pool
        if run in self.granting:
            self._runs[run] = row  # it was given away ahead
            return []
        return self._run(row)

    def _run(self, row: RunRow) -> list[Input]:
        if row.session is not None:
            return self._open(row)
        before = self._runs.get(row.run)
        if before is None:
            return self._wait(row)
        if before == row:
            return []
        return self._close(before) + self._wait(row, anew=True)

    def _wait(self, row: RunRow, *, anew: bool = False) -> list[Input]:
        self._runs[row.run] = row
        waits = RunWaits(self.ws, row.run, row.pool, row.key, row.priority, row.due_at, row.home)
        return [RunGone(self.ws, row.run), waits] if anew else [waits]

    def _open(self, row: RunRow) -> list[Input]:
        self._runs[row.run] = row
        self.granting.discard(row.run)
        assert row.session is not None, "an open attempt has a session"
        return [AttemptOpened(self.ws, row.run, row.pool, row.session)]

    def _close(self, row: RunRow) -> list[Input]:
        if row.session is None:
            return []
        return [AttemptClosed(self.ws, row.run, row.pool, row.session)]

    def _over(self, run: UUID) -> list[Input]:
        self.granting.discard(run)
        row = self._runs.pop(run, None)
        if row is None:
            return []
        return [RunGone(self.ws, run), AttemptClosed(self.ws, run, row.pool, row.session)]

    # Sessions and pools -----------------------------------------------------------------------------------

    def _fold_session(self, session: UUID, event: Any) -> list[Input]:
        known = self._sessions.get(session)
        match event:
            case SessionOpened(pool=pool, slots=slots, agent=agent):
                return self._session(SessionRow(session, pool, slots, agent=agent))
            case SessionResumed(slots=slots) if known is not None:
                return self._session(replace(known, slots=slots, up=True))
            case SessionLost() if known is not None:
                return self._session(replace(known, up=False))
            case SessionClosed():
                return self._gone(session)
            case _:
                return []

    def _session(self, row: SessionRow) -> list[Input]:
        self._sessions[row.session] = row
        if row.up:
            return [SessionUp(self.ws, row.session, row.pool, row.slots, row.agent)]
        return [SessionDown(self.ws, row.session, row.pool)]

    def _gone(self, session: UUID) -> list[Input]:
        row = self._sessions.pop(session, None)
        return [SessionDown(self.ws, session, row.pool)] if row is not None else []

    def _fold_pool(self, pool: UUID, event: Any) -> list[Input]:
        match event:
            case PoolCreated(name=name, slots=slots):
                return self._pool(PoolRow(pool, name, slots))
            case PoolChanged(slots=slots) if pool in self._pools:
                return self._pool(replace(self._pools[pool], slots=slots))
            case _:
                return []

    def _pool(self, row: PoolRow) -> list[Input]:
        self._pools[row.pool] = row
        return [PoolIs(self.ws, row.pool, row.name, row.slots)]
