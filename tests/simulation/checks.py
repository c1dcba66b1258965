"""What must hold after every commit, judged with a model of its own: nothing here trusts the states that the deciders keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headway_control_plane.domain.streams import StreamKind
from simulation.checks_families import Families

if TYPE_CHECKING:
    from simulation.agent import Agent
    from simulation.database import Entry, Workspace, Written
    from simulation.world import World

REASSIGN_AFTER = timedelta(seconds=90)
LEASE = timedelta(seconds=30)
BRAKE = timedelta(minutes=15)
IN_FLIGHT = timedelta(
    seconds=60
)  # between the sweeper's look at the losses and its command's commit
ENDS = {"RunCompleted", "RunFailed", "RunCrashed", "RunCancelled"}
CLOSES = ENDS | {"RunRescheduled", "RunPaused", "RunSuspended"}
_LEGAL = {
    "": {"RunCreated"},
    "scheduled": {"RunGranted", "RunReattached", "RunCancelRequested", "RunAnswered", "RunRescheduled", "RunPaused", "RunFailed"},
    "open": {"RunStarted", "RunReattached", "RunRescheduled", "RunPaused", "RunSuspended", "RunAsked", "RunAnswered", "RunCancelRequested", "RunCompleted", "RunFailed", "RunCrashed"},
    "paused": {"RunResumed", "RunAnswered", "RunReattached", "RunCancelRequested", "RunFailed"},
    "suspended": {"RunResumed", "RunAnswered", "RunCancelRequested"},
    "cancelling": {"RunStarted", "RunReattached", "RunCancelled", "RunCompleted"},
    "ended": set(),
}  # fmt: skip
_NEXT = {
    "RunCreated": "scheduled",
    "RunGranted": "open",
    "RunRescheduled": "scheduled",
    "RunResumed": "scheduled",
    "RunPaused": "paused",
    "RunSuspended": "suspended",
    "RunCancelRequested": "cancelling",
}


@dataclass
class Run:
    """A run as the log tells it."""

    state: str = ""
    version: int = 0
    fence: int = 0
    open: bool = False
    agent: UUID | None = None
    session: UUID | None = None
    pool: UUID | None = None


class Checks:
    """Called by the database at each commit, by the scenario at intervals."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.agents: list[Agent] = []
        self.is_alone = False  # one replica makes all commits, and hears of each
        self.runs: dict[UUID, Run] = {}
        self.facts: dict[tuple[UUID, int], int] = {}
        self.families = Families(world)

    # Commits ------------------------------------------------------------------------------------------------

    def before_commit(self, row: Workspace, draft: Written, shard_epoch: int) -> None:
        for ws, grant in draft.grants:
            if ws == row.ws and grant.shard_epoch != shard_epoch:
                self._broke("a grant by a replica that does not own the shard", grant.run)

    def after_commit(self, row: Workspace, entries: Sequence[Entry]) -> None:
        expected = row.offset - len(entries)
        for entry in entries:
            expected += 1
            if entry.offset != expected:
                self._broke("a gap in the log", entry.offset, expected)
            kind = entry.stream.kind
            if kind is StreamKind.ATTEMPT:
                self._fact(entry)
            elif kind is StreamKind.RUN:
                self._run_event(row, entry)
            elif kind is StreamKind.SESSION:
                self._session_event(row, entry)
        if expected != row.offset or len(row.log) != row.offset:
            self._broke("the head is not the end of the log", row.offset, len(row.log))
        self._slots(row)
        suspended = (run for run, told in self.runs.items() if told.state == "suspended")
        self.families.after_commit(row, suspended)

    def _fact(self, entry: Entry) -> None:
        key = (entry.stream.id, entry.stream.fence)
        run = self.runs[key[0]]
        if entry.version != self.facts.get(key, 0) + 1:
            self._broke("facts are not consecutive", key, self.facts.get(key, 0), entry.version)
        if key[1] != run.fence or not run.open:
            self._broke("a fact of an attempt that is over", key, "newest", run.fence, run.open)
        if entry.type == "FactDropped":
            self._broke("a fact was dropped", key, entry.version)
        self.facts[key] = entry.version
        self.families.fact(entry)

    def _run_event(self, row: Workspace, entry: Entry) -> None:
        event, name = entry.event, type(entry.event).__name__
        run = self.runs.setdefault(entry.stream.id, Run())
        self.world.note(f"log {row.ws}", entry.offset, str(entry.stream.id)[:8], _brief(event))
        if name not in _LEGAL[run.state]:
            self._broke("an illegal move", entry.stream.id, run.state, name)
        if entry.version != run.version + 1:
            self._broke("versions of a run", run.version, entry.version)
        run.version = entry.version
        fence = getattr(event, "fence", run.fence)
        if fence != run.fence + (name == "RunGranted"):
            self._broke("a fence moved without a grant", name, run.fence, fence)
        if name in CLOSES and run.open:
            self._attempt_lost(row, run, entry, name)
        self.families.run_event(entry)
        self._move(row, run, entry, name)

    def _move(self, row: Workspace, run: Run, entry: Entry, name: str) -> None:
        event, before = entry.event, run.state
        run.fence = getattr(event, "fence", run.fence)
        if name == "RunCreated":
            run.pool = event.pool
        if name == "RunGranted":
            run.agent = event.agent
        if name in {"RunGranted", "RunReattached"}:
            run.open, run.session = True, event.session
        if name in CLOSES:
            run.open = False
        if name == "RunGranted":
            self._not_too_many(row, event.session)
        if name == "RunReattached":
            self.world.happens("attempt taken up again")
            if row.session(event.session).agent != run.agent:
                self._broke("an attempt went to another agent", entry.stream.id)
            run.state = "open" if run.state != "cancelling" else run.state
        else:
            run.state = "ended" if name in ENDS else _NEXT.get(name, run.state)
            # Who waits for several runs goes on a little later.
            soon = name == "RunAnswered" and event.due_at <= self.world.instant()
            if soon and before == "suspended":
                run.state = "scheduled"
        self.world.happens(f"{before or 'new'} > {name}")

    def _not_too_many(self, row: Workspace, session: Any) -> None:
        """A session gets no more than it has slots for; who drains may still get what was on its way.

        Of several replicas another may have put an attempt there, and its hint be lost or late.
        """
        if not self.is_alone:
            return
        slots = row.session(session).slots
        held = sum(run.open and run.session == session for run in self.runs.values())
        if 0 < slots < held:
            self._broke("more runs in a session than it has slots", session, held, slots)

    def _attempt_lost(self, row: Workspace, run: Run, entry: Entry, name: str) -> None:
        """Only a session that is over loses attempts, and one that was lost no sooner than promised."""
        if name != "RunRescheduled" or entry.event.cause != "lost":
            return
        self.world.happens("run given away")
        session = row.session(run.session)
        if session.status != "closed":
            self._broke("an attempt was lost whose session lives", entry.stream.id, name)
        elif session.closed_reason == "reassigned" and session.lost_at is not None:
            self._not_too_early(session.lost_at)

    def _not_too_early(self, lost_at: datetime) -> None:
        if self.world.instant() - lost_at < REASSIGN_AFTER:
            self._broke("given away too early", lost_at, self.world.instant())

    # Sessions -----------------------------------------------------------------------------------------------

    def _session_event(self, row: Workspace, entry: Entry) -> None:
        name, session = type(entry.event).__name__, entry.stream.id
        if name == "SessionLost":
            self.world.happens("session lost")
        self.world.note(f"log {row.ws}", entry.offset, "session", str(session)[:8], name)
        taken = name == "SessionClosed" and entry.event.reason == "reassigned"
        if name == "SessionLost" or taken:
            for agent in self.agents:
                if agent.session == session and agent.trusts_until() > self.world.now:
                    self._broke("an agent trusts a lost lease", agent.host.name, name)
        if taken:
            self._brake(row, session)

    def _brake(self, row: Workspace, closed: UUID) -> None:
        """Independent of `domain.brake`: many were lost together, and longer ago than a command can be on its way."""
        now = self.world.instant()
        sessions = row.of(StreamKind.SESSION)
        lost = [
            s.lost_at
            for s in sessions
            if s.lost_at is not None and (s.status == "lost" or s.session == closed)
        ]
        live = sum(1 for s in sessions if s.status == "open")
        for last in lost:
            together = sum(1 for at in lost if timedelta() <= last - at <= LEASE)
            most = together >= 3 and together * 3 > live + len(lost)
            if most and IN_FLIGHT < now - last < BRAKE:
                self._broke("the brake did not hold", together, "of", live + len(lost))

    # At intervals -------------------------------------------------------------------------------------------

    def look(self, rows: Mapping[int, Workspace]) -> None:
        """Leases as agents believe in them, against the leases that there are; and who executes what."""
        for agent in self.agents:
            until = agent.trusts_until()
            if until > self.world.now:
                self._lease(agent, until, rows)
        self._single_holders()

    def _lease(self, agent: Agent, until: float, rows: Mapping[int, Workspace]) -> None:
        session = rows[agent.identity.ws].session(agent.session)
        if session is None or session.status == "closed":
            return
        left = (session.expires_at - self.world.instant()).total_seconds()
        if until - self.world.now > left:
            self._broke("trust outlives the lease", agent.host.name, until - self.world.now, left)

    def _single_holders(self) -> None:
        """One agent at a time executes a run under a lease that it may trust and without knowing that it was fenced."""
        holders: dict[str, tuple[str, int]] = {}
        for agent in self.agents:
            if agent.trusts_until() <= self.world.now:
                continue
            for key, directory in agent.host.directories.items():
                if directory.writer is None or _fenced(agent, key):
                    continue
                name, fence = holders.setdefault(key.run, (agent.host.name, key.fence))
                if name != agent.host.name:
                    self._broke("two agents hold a run", key, agent.host.name, name, fence)

    def _slots(self, row: Workspace) -> None:
        for pool, taken in row.taken.items():
            mine = {id_ for id_, run in self.runs.items() if run.open and run.pool == pool}
            if mine != taken:
                self._broke("slots are not the open attempts", pool, len(mine), len(taken))

    def _broke(self, rule: str, *facts: Any) -> None:
        self.world.broke(rule, *facts)


def _fenced(agent: Agent, key: Any) -> bool:
    """Whether its agent was told that the attempt is over; its process may take a moment to die."""
    assert agent.hub is not None
    position = agent.hub.reporting.positions.get(tuple(key))
    return position is not None and position.fenced


def _brief(event: Any) -> str:
    said = [type(event).__name__]
    for name in ("fence", "cause", "reason", "evidence", "session"):
        value = getattr(event, name, "")
        if value != "":
            said.append(f"{name}={str(value)[:8]}")
    return " ".join(said)
