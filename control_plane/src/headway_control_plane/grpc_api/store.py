"""What the agents' side reads of the database, and the one thing that it writes beside the log: leases."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_api.event.v1 import control_pb2
from headway_control_plane.db.asked_runs import AskedRuns, read_asked
from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.roles import Role
from headway_control_plane.db.run_json import load_fork, load_waits
from headway_control_plane.db.variables_json import load_entries
from headway_control_plane.domain.run.asked import AskedRun, taken
from headway_control_plane.domain.run.events import Waiting
from headway_control_plane.domain.run.state import Fork
from headway_control_plane.domain.run.waits import is_over
from headway_control_plane.grpc_api.auth import AgentIdentity
from headway_control_plane.grpc_api.ledger import OpenAttempt
from headway_control_plane.grpc_api.opening import AttemptRow, SessionRow
from headway_control_plane.grpc_api.registry import SessionKey
from headway_control_plane.grpc_api.settings import MEBIBYTE
from headway_control_plane.grpc_api.wire import Held, attempt_ref
from headway_control_plane.log.packed import to_us
from headway_control_plane.log.rows_answers import read_answers

_SQL = load_queries("headway_control_plane.grpc_api", "queries.sql")
_FRAMING = 8  # bytes of a message beside its own, at most


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A run that another was made from, and what the next one cut."""

    run: UUID
    cut: Fork

    def message(self) -> pb.Ancestor:
        return pb.Ancestor(
            run=self.run.bytes,
            call=self.cut.call,
            around=self.cut.around,
            cut_at_us=to_us(self.cut.cut_at) if self.cut.cut_at else 0,
        )


def asked_message(run: UUID, asked: AskedRun) -> pb.AskedRun:
    """For an attempt of `run`."""
    wish = asked.wish if asked.parent == run else b""
    return pb.AskedRun(call=asked.call, run=asked.run.bytes, wish=wish)


def parted(answers: Sequence[pb.Answer], most: int) -> tuple[list[pb.Answer], list[pb.Answer]]:
    """Return the first ones, up to so many bytes, and the rest."""
    sizes = accumulate(answer.ByteSize() + _FRAMING for answer in answers)
    count = sum(1 for size in sizes if size <= most)
    return list(answers[:count]), list(answers[count:])


@dataclass(frozen=True, slots=True)
class Assignment:
    """An open attempt with all that its execution needs."""

    run: UUID
    fence: int
    session: UUID
    cancel: bool
    deployment: str
    flow: str
    run_name: str
    environment: str
    entrypoint: str
    code_hash: str
    parameters: bytes | None
    cancel_grace_ms: int
    kill_grace_ms: int
    isolation: str | None
    max_runs_per_process: int
    max_memory_mb: int
    tags: Sequence[str]
    flow_version: str
    traceparent: str
    at_home: bool
    waits: tuple[Waiting, ...]
    given: tuple[tuple[bytes, bytes], ...]  # call of a wait -> digest of its answer
    now: datetime
    is_fork: bool
    has_moved: bool  # another agent has executed an attempt of it
    has_lost: bool  # an attempt of it was lost: its last facts came too late, perhaps
    variables: int  # the version of the workspace's; 0: it never had any
    version: int  # of the run
    due_at_us: int  # as it was asked for
    started_by: str  # the actor of its creation; empty where that event is gone
    answers: Mapping[bytes, bytes] = field(default_factory=dict)  # contents by digest
    lineage: Sequence[Ancestor] = ()
    asked_runs: Sequence[AskedRun] = ()
    asked_runs_cut: bool = False  # it has asked for more

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Assignment:
        (
            *plain,
            waits,
            calls,
            digests,
            now,
            is_fork,
            has_moved,
            has_lost,
            variables,
            version,
            created,
            due_at,
            started_by,
        ) = row
        read = load_waits(waits), read_answers(calls, digests)
        due_at_us = _due_at_us(created) or to_us(due_at)  # its events may be gone by now
        known = now, is_fork, has_moved, has_lost, variables, version, due_at_us, started_by
        return cls(*plain, *read, *known)  # type: ignore[call-arg] # 20 + 10

    def messages(self, pages: str = "", most: int = MEBIBYTE) -> list[pb.SessionResponse]:
        """An Assign, and what of the answers is beyond `most` bytes behind it. `pages`: the address under which people see the UI, if it is known."""
        attempt = attempt_ref((self.run, self.fence))
        inside, behind = parted(self._answers(), most)
        assign = pb.Assign(
            attempt=attempt,
            deployment=self.deployment,
            flow=self.flow,
            run_name=self.run_name,
            environment=self.environment,
            entrypoint=self.entrypoint,
            code_hash=self.code_hash,
            parameters=self.parameters or b"{}",
            cancel_grace_ms=self.cancel_grace_ms,
            kill_grace_ms=self.kill_grace_ms,
            traceparent=self.traceparent,
            answers=inside,
            answers_follow=len(behind),
            lineage=[ancestor.message() for ancestor in self.lineage],
            at_home=self.at_home,
            isolation=self.isolation or "",
            max_runs_per_process=self.max_runs_per_process,
            max_memory_mb=self.max_memory_mb,
            tags=self.tags,
            due_at_us=self.due_at_us,
            run_url=f"{pages.rstrip('/')}/runs/{self.run}" if pages else "",
            flow_version=self.flow_version,
            asked_runs=[asked_message(self.run, asked) for asked in self.asked_runs],
            asked_runs_cut=self.asked_runs_cut,
            unheard=self.has_lost,
            started_by=self.started_by,
        )
        told = (pb.AttemptAnswer(attempt=attempt, answer=answer) for answer in behind)
        return [
            pb.SessionResponse(assign=assign),
            *(pb.SessionResponse(answer=each) for each in told),
        ]

    def answers_given(self) -> list[pb.Answer]:
        """What was answered. One that was erased answers as if nothing had been said."""
        return [
            pb.Answer(call=call, value=self.answers.get(digest, b"null"))
            for call, digest in self.given
        ]

    def _answers(self) -> list[pb.Answer]:
        """Those that can't come later first: an agent from before begins with what is in the Assign, and takes a wait whose time is up for unanswered."""
        given = dict(self.given)
        over = [wait for wait in self.waits if wait.call not in given and is_over(wait, self.now)]
        timed = {wait.call for wait in self.waits if wait.until is not None}
        answers = sorted(self.answers_given(), key=lambda answer: answer.call not in timed)
        return [*(pb.Answer(call=wait.call, over=True) for wait in over), *answers]


@dataclass(slots=True)
class SessionView:
    """A session's row and its open attempts."""

    status: str
    replica: UUID
    attempts: list[OpenAttempt] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lease:
    """A session's row after its lease was extended."""

    status: str
    replica: UUID


class SessionStore:
    """Statements over sessions and attempts, in the least role that each can do with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def epoch(self, identity: AgentIdentity) -> int:
        """Return the log's epoch; above 1 it has once lost its newest events."""
        async with self._database.transaction(Role.APP, ws=identity.ws) as connection:
            cursor = await connection.execute(_SQL["epoch"], {"ws": identity.ws})
            row = await cursor.fetchone()
            return int(row[0]) if row is not None else 0

    async def sessions(self, identity: AgentIdentity, session: UUID) -> list[SessionRow]:
        parameters = {"ws": identity.ws, "agent": identity.agent, "session": session}
        async with self._database.transaction(Role.APP, ws=identity.ws) as connection:
            cursor = await connection.execute(_SQL["agent_sessions"], parameters)
            return [SessionRow(*row) for row in await cursor.fetchall()]

    async def attempts(self, identity: AgentIdentity, held: Iterable[Held]) -> list[AttemptRow]:
        named = [item.attempt for item in held]
        parameters = {
            "ws": identity.ws,
            "agent": identity.agent,
            "runs": [run for run, _ in named],
            "fences": [fence for _, fence in named],
        }
        async with self._database.transaction(Role.APP, ws=identity.ws) as connection:
            cursor = await connection.execute(_SQL["agent_attempts"], parameters)
            return [AttemptRow(*row) for row in await cursor.fetchall()]

    async def permits(self, identity: AgentIdentity) -> list[str]:
        parameters = {"ws": identity.ws, "pool": identity.pool}
        async with self._database.transaction(Role.APP, ws=identity.ws) as connection:
            cursor = await connection.execute(_SQL["pool_permits"], parameters)
            row = await cursor.fetchone()
            return list(row[0]) if row is not None else []

    async def pool_name(self, ws: int, pool: UUID) -> str:
        async with self._database.transaction(Role.APP, ws=ws) as connection:
            cursor = await connection.execute(_SQL["pool_name"], {"ws": ws, "pool": pool})
            row = await cursor.fetchone()
            return str(row[0]) if row is not None else ""

    async def assignments(self, ws: int, runs: Collection[UUID]) -> list[Assignment]:
        async with self._database.transaction(Role.APP, ws=ws) as connection:
            cursor = await connection.execute(_SQL["assignments"], {"ws": ws, "runs": list(runs)})
            found = [Assignment.of_row(row) for row in await cursor.fetchall()]
            lineages = await self._lineages(connection, ws, found)
            answers = await self._answers(connection, ws, found)
            asked = await self._asked_runs(connection, ws, found)
        if not (lineages or answers or asked):
            return found
        nothing = AskedRuns()
        return [
            replace(
                a,
                lineage=lineages.get(a.run, ()),
                answers=answers,
                asked_runs=asked.get(a.run, nothing).runs,
                asked_runs_cut=asked.get(a.run, nothing).cut,
            )
            for a in found
        ]

    async def variables(self, ws: int) -> pb.Variables:
        """Return all variables with their values; one whose value was erased is left out."""
        async with self._database.transaction(Role.APP, ws=ws) as connection:
            cursor = await connection.execute(_SQL["variables"], {"ws": ws})
            row = await cursor.fetchone()
            if row is None:
                return pb.Variables()
            entries = load_entries(row[1])
            digests = [entry.value.digest for entry in entries.values()]
            cursor = await connection.execute(_SQL["answers"], {"ws": ws, "digests": digests})
            values = {bytes(digest): bytes(value) for digest, value in await cursor.fetchall()}
        found = [
            pb.Variable(name=name, value=values[entry.value.digest])
            for name, entry in sorted(entries.items())
            if entry.value.digest in values
        ]
        return pb.Variables(version=row[0], entries=found)

    async def _lineages(
        self, connection: Connection, ws: int, found: Sequence[Assignment]
    ) -> dict[UUID, list[Ancestor]]:
        lineages: dict[UUID, list[Ancestor]] = {}
        forks = [assignment.run for assignment in found if assignment.is_fork]
        if forks:
            cursor = await connection.execute(_SQL["lineages"], {"ws": ws, "runs": forks})
            for run, ancestor, fork in await cursor.fetchall():
                if (cut := load_fork(fork)) is not None:
                    lineages.setdefault(run, []).append(Ancestor(ancestor, cut))
        return lineages

    async def _asked_runs(
        self, connection: Connection, ws: int, found: Sequence[Assignment]
    ) -> dict[UUID, AskedRuns]:
        """What the agent of an attempt cannot have in its journal, or must not take from it. Of other runs nothing is read."""
        told = {}
        for each in found:
            if each.is_fork or each.has_moved or each.has_lost:
                asked = await read_asked(connection, ws, each.run)
                runs = taken(asked.runs)
                told[each.run] = AskedRuns(
                    [
                        a
                        for a in asked.runs
                        if a.run in runs or (a.parent == each.run and not a.refused)
                    ],
                    # Of a run that was made from another the later wishes are made anew, as its preview says.
                    cut=asked.cut and (each.has_moved or each.has_lost),
                )
        return told

    async def _answers(
        self, connection: Connection, ws: int, found: Sequence[Assignment]
    ) -> dict[bytes, bytes]:
        digests = [digest for assignment in found for _, digest in assignment.given]
        if not digests:
            return {}
        cursor = await connection.execute(_SQL["answers"], {"ws": ws, "digests": digests})
        return {bytes(digest): bytes(content) for digest, content in await cursor.fetchall()}

    async def session_views(self, keys: Iterable[SessionKey]) -> Mapping[SessionKey, SessionView]:
        views: dict[SessionKey, SessionView] = {}
        async with self._database.statements(Role.DISPATCHER) as connection:
            cursor = await connection.execute(_SQL["session_attempts"], _columns(keys))
            for (
                ws,
                session,
                status,
                replica,
                run,
                fence,
                _,
                cancel,
                asked,
            ) in await cursor.fetchall():
                view = views.setdefault((ws, session), SessionView(status, replica))
                if run is not None:
                    view.attempts.append(OpenAttempt(run, fence, cancel, asked))
        return views

    async def ended_runs(
        self, attempts: Collection[tuple[int, UUID, int]]
    ) -> list[tuple[int, UUID]]:
        parameters = {
            "workspaces": [ws for ws, _, _ in attempts],
            "runs": [run for _, run, _ in attempts],
            "fences": [fence for _, _, fence in attempts],
        }
        async with self._database.statements(Role.DISPATCHER) as connection:
            cursor = await connection.execute(_SQL["ended_runs"], parameters)
            return [(ws, run) for ws, run in await cursor.fetchall()]

    async def renew(self, keys: Collection[SessionKey], ttl: timedelta) -> dict[SessionKey, Lease]:
        """Extend leases; a session that is closed or unknown is absent from the answer."""
        async with self._database.statements(Role.DISPATCHER) as connection:
            cursor = await connection.execute(
                _SQL["renew_sessions"], {**_columns(keys), "ttl": ttl}
            )
            rows = await cursor.fetchall()
        return {(ws, session): Lease(status, replica) for ws, session, status, replica in rows}

    async def revoked(self, agents: Iterable[tuple[int, UUID]]) -> list[tuple[int, UUID]]:
        named = list(agents)
        of = {agent: ws for ws, agent in named}
        parameters = {"workspaces": [ws for ws, _ in named], "agents": [a for _, a in named]}
        async with self._database.statements(Role.AUTH) as connection:
            cursor = await connection.execute(_SQL["revoked_agents"], parameters)
            return [(of[agent], agent) for (agent,) in await cursor.fetchall()]


def _due_at_us(created: bytes | None) -> int:
    return control_pb2.RunCreated.FromString(created).due_at_us if created else 0


def _columns(keys: Iterable[SessionKey]) -> dict[str, list[object]]:
    named = sorted(keys)
    return {"workspaces": [ws for ws, _ in named], "sessions": [session for _, session in named]}
