"""The replicas' statements, by the names that they have in the .sql files, over the modelled tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.run_json import dump_waits
from headway_control_plane.domain.run.state import TERMINAL, RunStatus
from headway_control_plane.domain.session.state import SessionStatus
from headway_control_plane.domain.streams import Stream, StreamKind
from simulation.database import Workspace
from simulation.families import ChildStatements

Row = tuple[Any, ...]
Rows = list[Row]
_P = "headway_control_plane"
_FILES = (
    (f"{_P}.background", "sweeper.sql"),
    (f"{_P}.background", "children.sql"),
    (f"{_P}.db", "asked_runs.sql"),
    (f"{_P}.dispatch", "shards.sql"),
    (f"{_P}.dispatch", "queries.sql"),
    (f"{_P}.grpc_api", "queries.sql"),
    (f"{_P}.log", "lines.sql"),
)
_ENDED = {"completed", "failed", "crashed", "cancelled", "refused"}
_SHOWN = {
    RunStatus.SCHEDULED,
    RunStatus.PENDING,
    RunStatus.RUNNING,
    RunStatus.CANCELLING,
}
_NAMES = {
    text: name for package, file in _FILES for name, text in load_queries(package, file).items()
}


class Statements(ChildStatements):
    """One method a statement; parameters as in the SQL, rows as in its SELECT list."""

    def find(self, sql: str) -> Callable[[dict[str, Any]], Rows] | None:
        """What a text means; None for settings and the like. One that nobody modelled is an error here, and a broken world."""
        name = _NAMES.get(sql)
        return None if name is None else getattr(self, name)

    # sweeper.sql --------------------------------------------------------------------------------------------

    def due(self, p: dict[str, Any]) -> Rows:
        now = self._db.now()
        timers: Rows = []
        leases: Rows = []
        for row in self._of_shards(p):
            resting = row.shard in p["resting"]
            for stream, state in row.states.items():
                deadline = getattr(state, "deadline", None)
                late = deadline is not None and deadline.at <= now
                held = late and resting and deadline.kind in ("reassign", "start", "home")
                if late and not held and not _waits_at_home(row, state):
                    timers.append(
                        (
                            row.ws,
                            stream.kind,
                            stream.id,
                            row.shard,
                            deadline.kind.value,
                            deadline.at,
                            now,
                            state.session if deadline.kind == "start" else None,
                        )
                    )
                if stream.kind is StreamKind.SESSION and _expired(state, now):
                    leases.append(
                        (row.ws, 5, stream.id, row.shard, "lease", state.expires_at, now, None)
                    )
        timers.sort(key=lambda r: r[5])
        leases.sort(key=lambda r: r[5])
        return timers[: p["most"]] + leases[: p["most"]]

    def push_leases(self, p: dict[str, Any]) -> Rows:
        until = self._db.now() + p["extension"]
        for row in self._of_shards(p):
            for state in row.of(StreamKind.SESSION):
                if state.status is SessionStatus.OPEN:
                    self._lease(row, state, max(state.expires_at, until))
        return []

    def losses(self, p: dict[str, Any]) -> Rows:
        live: dict[int, int] = {}
        lost: dict[int, list[datetime]] = {}
        for row in self._of_shards(p):
            for state in row.of(StreamKind.SESSION):
                if state.status is SessionStatus.OPEN:
                    live[row.shard] = live.get(row.shard, 0) + 1
                elif state.status is SessionStatus.LOST:
                    lost.setdefault(row.shard, []).append(state.lost_at)
        shards = sorted(live.keys() | lost.keys())
        return [(shard, live.get(shard, 0), lost.get(shard, [])) for shard in shards]

    def orphans(self, p: dict[str, Any]) -> Rows:
        found = []
        for row in self._of_shards(p):
            for attempt in row.open_attempts():
                if _over(row.session(attempt.session)):
                    found.append((row.ws, attempt.run, attempt.fence, attempt.session))
        return found

    def orphans_of_sessions(self, p: dict[str, Any]) -> Rows:
        named = set(zip(p["workspaces"], p["sessions"], strict=True))
        shards = [row.shard for row in self._all()]
        return [r for r in self.orphans({"shards": shards}) if (r[0], r[3]) in named]

    # shards.sql ---------------------------------------------------------------------------------------------

    def renew_replica(self, p: dict[str, Any]) -> Rows:
        db, me = self._db, p["replica"]
        alive = me in db.replicas and db.replicas[me] > db.now()
        db.replicas[me] = db.now() + p["ttl"]
        others = sum(1 for id_, until in db.replicas.items() if id_ != me and until > db.now())
        mine = [(shard, epoch) for shard, (owner, epoch) in db.shards.items() if owner == me]
        return [(alive, others, [s for s, _ in mine], [e for _, e in mine])]

    def take_shards(self, p: dict[str, Any]) -> Rows:
        db = self._db
        alive = {id_ for id_, until in db.replicas.items() if until > db.now()}
        free = [shard for shard, (owner, _) in sorted(db.shards.items()) if owner not in alive]
        for shard in (chosen := free[: p["count"]]):
            if db.shards[shard][0] is not None:
                db.world.happens("shard taken over")
            db.shards[shard] = [p["replica"], db.shards[shard][1] + 1]
        return [(shard, db.shards[shard][1]) for shard in chosen]

    def release_shards(self, p: dict[str, Any]) -> Rows:
        for shard in p["shards"]:
            if self._db.shards[shard][0] == p["replica"]:
                self._db.shards[shard][0] = None
        return []

    def retire_replica(self, p: dict[str, Any]) -> Rows:
        self.release_shards({"shards": list(self._db.shards), **p})
        self._db.replicas.pop(p["replica"], None)
        return []

    # dispatch/queries.sql -----------------------------------------------------------------------------------

    def workspaces_of_shards(self, p: dict[str, Any]) -> Rows:
        return [(row.ws, row.shard, self._db.now()) for row in self._of_shards(p)]

    def _named(self, p: dict[str, Any]) -> list[Workspace]:
        return [self._db.workspaces[ws] for ws in p["workspaces"]]

    def pools(self, p: dict[str, Any]) -> Rows:
        return [
            (row.ws, pool.pool, pool.name, pool.slots)
            for row in self._named(p)
            for pool in row.of(StreamKind.POOL)
        ]

    def sessions(self, p: dict[str, Any]) -> Rows:
        return [
            (row.ws, *_shown_session(state))
            for row in self._named(p)
            for state in row.of(StreamKind.SESSION)
            if state.status is not SessionStatus.CLOSED
        ]

    def runs(self, p: dict[str, Any]) -> Rows:
        shown = (
            (row.ws, _shown_run(row, run))
            for row in self._named(p)
            for run in row.of(StreamKind.RUN)
        )
        return [(ws, *run) for ws, run in shown if run is not None]

    def single_runs(self, p: dict[str, Any]) -> Rows:
        rows = []
        for ws, id_ in zip(p["workspaces"], p["runs"], strict=True):
            run = self._db.workspaces[ws].run(id_)
            shown = None if run is None else _shown_run(self._db.workspaces[ws], run)
            if shown is not None:
                rows.append((ws, *shown))
        return rows

    def single_sessions(self, p: dict[str, Any]) -> Rows:
        rows = []
        for ws, id_ in zip(p["workspaces"], p["sessions"], strict=True):
            state = self._db.workspaces[ws].session(id_)
            if state is not None and state.status is not SessionStatus.CLOSED:
                rows.append((ws, *_shown_session(state)))
        return rows

    def close_waits(self, p: dict[str, Any]) -> Rows:
        return []  # reasons are for people; nothing here reads them

    open_waits = close_idle_waits = close_waits

    # grpc_api/queries.sql -----------------------------------------------------------------------------------

    def epoch(self, p: dict[str, Any]) -> Rows:
        return [(self._db.workspaces[p["ws"]].epoch,)]

    def agent_sessions(self, p: dict[str, Any]) -> Rows:
        return [
            (s.session, s.status.value, s.agent, s.incarnation)
            for s in self._db.workspaces[p["ws"]].of(StreamKind.SESSION)
            if s.session == p["session"]
            or (s.agent == p["agent"] and s.status is not SessionStatus.CLOSED)
        ]

    def agent_attempts(self, p: dict[str, Any]) -> Rows:
        row = self._db.workspaces[p["ws"]]
        named = dict.fromkeys(
            (a.run, a.fence) for a in row.open_attempts() if a.agent == p["agent"]
        )
        named |= dict.fromkeys(zip(p["runs"], p["fences"], strict=True))
        found = []
        for run_id, fence in named:
            attempt, run = row.attempt(run_id, fence), row.run(run_id)
            if attempt is not None and run is not None and attempt.agent == p["agent"]:
                found.append(
                    (
                        run_id,
                        fence,
                        attempt.status.value,
                        attempt.session,
                        attempt.last_seq,
                        attempt.outcome,
                        attempt.cancel,
                        run.fence,
                        run.status.value,
                        row.lines.get((run_id, fence), 0),
                    )
                )
        return found

    def pool_permits(self, p: dict[str, Any]) -> Rows:
        pool = self._db.workspaces[p["ws"]].states[Stream(StreamKind.POOL, p["pool"])]
        return [(pool.permits,)]

    def renew_sessions(self, p: dict[str, Any]) -> Rows:
        rows = []
        for ws, session in zip(p["workspaces"], p["sessions"], strict=True):
            state = self._db.workspaces[ws].session(session)
            if state is not None and state.status is not SessionStatus.CLOSED:
                self._lease(self._db.workspaces[ws], state, self._db.now() + p["ttl"])
                rows.append((ws, session, state.status.value, state.replica))
        return rows

    def session_attempts(self, p: dict[str, Any]) -> Rows:
        rows: Rows = []
        for ws, id_ in zip(p["workspaces"], p["sessions"], strict=True):
            row = self._db.workspaces[ws]
            state = row.session(id_)
            if state is None:
                continue
            mine = [a for a in row.open_attempts() if a.session == id_]
            head = (ws, id_, state.status.value, state.replica)
            rows += [
                (*head, a.run, a.fence, a.status.value, a.cancel, _asked(row.run(a.run)))
                for a in mine
            ] or [(*head, None, None, None, None, 0)]
        return rows

    def ended_runs(self, p: dict[str, Any]) -> Rows:
        rows = []
        for ws, run_id, fence in zip(p["workspaces"], p["runs"], p["fences"], strict=True):
            row = self._db.workspaces[ws]
            run, attempt = row.run(run_id), row.attempt(run_id, fence)
            if run is not None and run.status in TERMINAL and attempt.outcome in _ENDED:
                rows.append((ws, run_id))
        return rows

    def revoked_agents(self, p: dict[str, Any]) -> Rows:
        return []  # nobody revokes agents in this world

    def assignments(self, p: dict[str, Any]) -> Rows:
        row = self._db.workspaces[p["ws"]]
        rows: Rows = []
        for run_id in p["runs"]:
            run = row.run(run_id)
            attempt = None if run is None else row.attempt(run_id, run.fence)
            if attempt is not None and attempt.is_open:
                rows.append(
                    (
                        run_id,
                        attempt.fence,
                        attempt.session,
                        attempt.cancel,
                        "d",
                        run.flow,
                        run.name,
                        run.environment,
                        run.entrypoint,
                        run.code_hash,
                        b"{}",
                        run.cancel_grace_ms,
                        run.kill_grace_ms,
                        run.isolation,
                        run.max_runs_per_process,
                        run.max_memory_mb,
                        list(run.tags),
                        run.flow_version,
                        "",
                        run.home == attempt.agent,
                        dump_waits(run.waits),
                        [call for call, _ in run.answers],
                        [digest for _, digest in run.answers],
                        self._db.now(),
                        False,  # nobody makes runs from runs here
                        _has_moved(row, run_id, attempt),
                        _has_lost(row, run_id, attempt),
                        0,  # nor sets variables
                        run.version,
                        None,  # the event of its creation
                        run.due_at,
                        "",  # nor asks who started it
                    )
                )
        return rows

    def answers(self, p: dict[str, Any]) -> Rows:
        contents = self._db.workspaces[p["ws"]].contents
        return [(digest, contents[digest]) for digest in p["digests"] if digest in contents]

    # lines.sql ----------------------------------------------------------------------------------------------

    def lock_attempt(self, p: dict[str, Any]) -> Rows:
        found = self._db.workspaces[p["ws"]].attempt(p["run"], p["fence"])
        return [] if found is None else [(0,)]

    def last_line(self, p: dict[str, Any]) -> Rows:
        return [(self._db.workspaces[p["ws"]].lines.get((p["run"], p["fence"]), 0),)]

    def keep_chunk(self, p: dict[str, Any]) -> Rows:
        lines, key = self._db.workspaces[p["ws"]].lines, (p["run"], p["fence"])
        if p["first_line"] == lines.get(key, 0) + 1:  # the row lock lets nobody in between
            lines[key] = p["first_line"] + p["lines"] - 1
        return []

    def _lease(self, row: Workspace, state: Any, until: datetime) -> None:
        stream = Stream(StreamKind.SESSION, state.session)
        row.states[stream] = replace(state, expires_at=until)


def _has_moved(row: Workspace, run: Any, attempt: Any) -> bool:
    """Whether another agent has executed an attempt of the run."""
    earlier = (row.attempt(run, fence) for fence in range(1, attempt.fence))
    return any(each is not None and each.agent != attempt.agent for each in earlier)


def _has_lost(row: Workspace, run: Any, attempt: Any) -> bool:
    """Whether an earlier attempt of the run was lost."""
    earlier = (row.attempt(run, fence) for fence in range(1, attempt.fence))
    return any(each is not None and each.outcome in {"lost", "agent forgot"} for each in earlier)


def _asked(run: Any) -> int:
    return run.version if run.reason == "input" else 0


def _expired(state: Any, now: datetime) -> bool:
    return state.status is SessionStatus.OPEN and state.expires_at <= now


def _over(state: Any) -> bool:
    return state is not None and state.status is SessionStatus.CLOSED and not state.handover


def _waits_at_home(row: Workspace, state: Any) -> bool:
    """The deadline of a run whose agent is there does not pass."""
    return state.deadline.kind == "home" and any(
        s.agent == state.home and s.status is not SessionStatus.CLOSED
        for s in row.of(StreamKind.SESSION)
    )


def _shown_session(state: Any) -> Row:
    up = state.status is SessionStatus.OPEN
    return state.session, state.pool, state.slots, up, state.agent


def _shown_run(row: Workspace, run: Any) -> Row | None:
    attempt = row.attempt(run.run, run.fence)
    session = attempt.session if attempt is not None and attempt.is_open else None
    if run.status not in _SHOWN or (run.status is not RunStatus.SCHEDULED and session is None):
        return None
    return run.run, run.pool, run.deployment, run.priority, run.due_at, session, run.home
