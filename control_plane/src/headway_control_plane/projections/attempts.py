"""Attempts of a run, its waits, its late facts, and what its newest attempt reported at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select

from headway_control_plane.application.json_values import read_foreign
from headway_control_plane.application.ports import LogReader, Recorded
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import agent, attempt, late_fact, run_wait, session
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.projections.reading import fetch

# An attempt's last facts: AttemptEnded and AttemptExited.
_LAST_FACTS = 2


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One try of a run by one agent. `fence` is its number."""

    fence: int
    status: str
    outcome: str
    agent: UUID
    agent_name: str
    session: UUID
    host: str
    granted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    facts: int
    cancel: bool


@dataclass(frozen=True, slots=True)
class WaitView:
    """Why a run waited, and from when to when; `until` None: still."""

    since: datetime
    until: datetime | None
    reason: str
    object: str


@dataclass(frozen=True, slots=True)
class LateFact:
    """Reported under an old fence: kept and shown, never part of the log."""

    fence: int
    seq: int
    type: str
    occurred_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class ResultView:
    """A returned value by reference. `preview` is its beginning, where the pool permits results."""

    codec: str
    size_bytes: int
    digest: str
    reference: str
    preview: str | None


@dataclass(frozen=True, slots=True)
class ErrorView:
    """What was raised. Message and traceback are None where they were withheld or erased."""

    error_class: str
    message: str | None
    traceback: list[dict[str, Any]] | None


async def list_attempts(
    connection: Connection, ws: int, run: UUID, *, after: int = 0, limit: int = 100
) -> list[AttemptView]:
    """Return a run's attempts behind a fence, oldest first."""
    rows = await fetch(
        connection,
        select(
            attempt,
            agent.c.name.label("agent_name"),
            session.c.host,
        )
        .select_from(
            attempt.outerjoin(
                agent, and_(agent.c.ws == ws, agent.c.agent == attempt.c.agent)
            ).outerjoin(session, and_(session.c.ws == ws, session.c.session == attempt.c.session))
        )
        .where(attempt.c.ws == ws, attempt.c.run == run, attempt.c.fence > after)
        .order_by(attempt.c.fence)
        .limit(limit),
    )
    return [_attempt(row) for row in rows]


async def list_waits(
    connection: Connection, ws: int, run: UUID, *, limit: int = 100
) -> list[WaitView]:
    """Return the newest waits of a run, oldest of them first."""
    rows = await fetch(
        connection,
        select(run_wait.c.since, run_wait.c.until, run_wait.c.reason, run_wait.c.object)
        .where(run_wait.c.ws == ws, run_wait.c.run == run)
        .order_by(run_wait.c.since.desc())
        .limit(limit),
    )
    return [WaitView(**row) for row in reversed(rows)]


async def list_late_facts(
    connection: Connection, ws: int, run: UUID, *, after: tuple[int, int] = (0, 0), limit: int = 100
) -> list[LateFact]:
    """Return a run's late facts behind (fence, seq)."""
    fence, seq = after
    rows = await fetch(
        connection,
        select(
            late_fact.c.fence,
            late_fact.c.seq,
            late_fact.c.type,
            late_fact.c.occurred_at,
            late_fact.c.received_at,
        )
        .where(
            late_fact.c.ws == ws,
            late_fact.c.run == run,
            (late_fact.c.fence > fence) | ((late_fact.c.fence == fence) & (late_fact.c.seq > seq)),
        )
        .order_by(late_fact.c.fence, late_fact.c.seq)
        .limit(limit),
    )
    return [LateFact(**row) for row in rows]


async def last_report(reader: LogReader, ws: int, run: UUID, fence: int, facts: int) -> Any | None:
    """Return the attempt's AttemptExited or AttemptEnded message, whichever is its newest; None while it runs."""
    stream = Stream(StreamKind.ATTEMPT, run, fence)
    recorded = await reader.read_stream(ws, stream, max(0, facts - _LAST_FACTS), _LAST_FACTS)
    return next((_message(event) for event in reversed(recorded) if event.type in _REPORTS), None)


_REPORTS = frozenset({"AttemptExited", "AttemptEnded"})


def _message(event: Recorded) -> Any:
    return event.decode()


async def read_result(reader: LogReader, ws: int, report: Any) -> ResultView | None:
    """Return the result of a report, with its preview."""
    digest = preview_digest(report)
    return view_result(report, await reader.blobs(ws, [digest]) if digest else {})


def preview_digest(report: Any | None) -> bytes:
    """Return by what the beginning of a report's result is found; empty where there is none."""
    return bytes(report.result.preview_digest) if report is not None else b""


def view_result(report: Any | None, contents: Mapping[bytes, bytes]) -> ResultView | None:
    """Return the result of a report whose preview was read already, if it is there."""
    if report is None or not report.HasField("result"):
        return None
    result = report.result
    preview = contents.get(result.preview_digest)
    return ResultView(
        codec=result.codec,
        size_bytes=result.size_bytes,
        digest=result.digest.hex(),
        reference=result.reference,
        preview=preview.decode(errors="replace") if preview is not None else None,
    )


async def read_error(reader: LogReader, ws: int, error_class: str, text: bytes) -> ErrorView | None:
    """Return an error with its text, as far as it was let out and not erased."""
    if not error_class and not text:
        return None
    return view_error(error_class, text, await reader.blobs(ws, [text]) if text else {})


def view_error(error_class: str, text: bytes, contents: Mapping[bytes, bytes]) -> ErrorView | None:
    """Return an error whose text was read already, if it is there; None where there was no error."""
    if not error_class and not text:
        return None
    told = _error_text(contents.get(text))
    message, traceback = told.get("message"), told.get("traceback")
    return ErrorView(
        error_class,
        message if isinstance(message, str) else None,
        traceback if _are_frames(traceback) else None,
    )


def _error_text(content: bytes | None) -> Mapping[str, Any]:
    """Agents write it; what is no JSON object is shown as it came."""
    if content is None:
        return {}
    try:
        told = read_foreign(content)
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {"message": content.decode(errors="replace")}


def _are_frames(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(frame, dict) for frame in value)


def _attempt(row: Mapping[str, Any]) -> AttemptView:
    return AttemptView(
        fence=row["fence"],
        status=row["status"],
        outcome=row["outcome"],
        agent=row["agent"],
        agent_name=row["agent_name"] or "",
        session=row["session"],
        host=row["host"] or "",
        granted_at=row["granted_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        facts=row["last_seq"],
        cancel=row["cancel"],
    )
