"""Shapes of runs and what belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from headway_control_plane.application.answer_run import OpenWait
from headway_control_plane.domain.run.state import Fork, RunStatus
from headway_control_plane.http_api.shapes import Count, Cursor, Input, Reference, Shape, Timestamp
from headway_control_plane.http_api.shapes_forks import ForkShape, RefusedRunShape
from headway_control_plane.http_api.shapes_waits import WaitingShape
from headway_control_plane.projections.attempts import (
    AttemptView,
    ErrorView,
    LateFact,
    ResultView,
    WaitView,
)
from headway_control_plane.projections.logs import LogLine
from headway_control_plane.projections.run_view import RunView
from headway_control_plane.projections.tasks import TaskCounts
from headway_control_plane.projections.wishes import Refusal


class RunInput(Input):
    """A wish for a run."""

    deployment: str = Field(description="Id or name of the deployment.", examples=["nightly"])
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Merged over the deployment's defaults and checked against its schema; at most 256 KiB as JSON.",
        examples=[{"region": "eu", "limit": 100}],
    )
    name: str = Field(
        default="", max_length=1000, description="A name for people; made up if left out."
    )
    tags: list[str] = Field(default_factory=list, max_length=1000, examples=[["backfill"]])
    priority: Count = Field(default=3, description="1 (first) to 5 (last).")
    due_at: datetime | None = Field(
        default=None, description="Not before this instant; now if left out."
    )


class TaskSums(Shape):
    """How the calls of the run's newest attempt stand."""

    total: int
    completed: int
    failed: int
    running: int
    retrying: int
    skipped: int = Field(description="Kept from an earlier attempt, not executed again.")
    cancelled: int
    interrupted: int = Field(description="Their attempt was lost or killed before they ended.")
    paused: int = Field(description="Their attempt was suspended: they wait with their run.")

    @classmethod
    def of(cls, counts: TaskCounts | None) -> TaskSums:
        held = counts or TaskCounts(0)
        return cls(
            total=held.total,
            completed=held.completed,
            failed=held.failed,
            running=held.running,
            retrying=held.retrying,
            skipped=held.skipped,
            cancelled=held.cancelled,
            interrupted=held.interrupted,
            paused=held.paused,
        )


class ErrorShape(Shape):
    """What the flow raised. Message and traceback are null where the pool withholds them, and in lists."""

    error_class: str = Field(serialization_alias="class")
    message: str | None = None
    traceback: list[dict[str, Any]] | None = None

    @classmethod
    def of(cls, view: ErrorView) -> ErrorShape:
        return cls(error_class=view.error_class, message=view.message, traceback=view.traceback)


class ResultShape(Shape):
    """What the flow returned, by reference. `preview` is the beginning of its JSON, where the pool permits results."""

    digest: str
    codec: str = ""
    size_bytes: int | None = None
    reference: str = ""
    preview: str | None = None

    @classmethod
    def of(cls, view: ResultView) -> ResultShape:
        return cls(
            digest=view.digest,
            codec=view.codec,
            size_bytes=view.size_bytes,
            reference=view.reference,
            preview=view.preview,
        )


class RunItem(Shape):
    """A run in a list."""

    kind: Literal["run"] = "run"
    id: UUID
    name: str
    flow: str
    deployment: Reference
    pool: Reference
    agent: Reference | None = Field(description="Who executes it, or executed it last.")
    state: RunStatus
    reason: str = Field(
        description="Why it is in this state; a word for programs.", examples=["no free slot"]
    )
    reason_object: str = Field(description="What the reason is about.", examples=["local 4/4"])
    reason_text: str = Field(
        description="The reason for people.",
        examples=['waits for a free slot in pool "local" (4/4)'],
    )
    attempt: int = Field(description="Number of its newest attempt; 0 before the first.")
    attempts_failed: int = Field(description="Attempts that count against `retries`.")
    retries: int
    tags: list[str]
    priority: int
    created_at: Timestamp
    due_at: Timestamp
    started_at: Timestamp | None
    ended_at: Timestamp | None
    duration_us: int | None = Field(description="From its first start to its end, or to now.")
    error: ErrorShape | None
    tasks: TaskSums
    parent_run: UUID | None = Field(description="The run that started it.")
    parent_call: str | None = Field(description="The call of that run.")

    @classmethod
    def of(cls, view: RunView) -> RunItem:
        return cls(**_common(view))


class RunShape(RunItem):
    """One run."""

    version: int
    environment: str
    entrypoint: str
    code_hash: str
    flow_version: str = Field(
        description="Of the deployment when the run was made, as its flow said it; empty without one."
    )
    on_lost: str
    parameters: dict[str, Any] | None = Field(description="Null when sealed or erased.")
    result: ResultShape | None
    home: Reference | None = Field(
        description="The one agent that may go on with it: it has its journal."
    )
    waits: list[WaitingShape] = Field(
        description="Of its newest suspension, or what its process asks now."
    )
    forked_from: ForkShape | None = Field(description="The run that it was made from.")
    forks: list[ForkShape] = Field(description="The newest runs that were made from it.")
    refused_runs: list[RefusedRunShape] = Field(
        description="Runs of other deployments that its flow has asked for and does not get; the first hundred."
    )
    cursor: Cursor = Field(
        description="The log as of this answer: follow the run's events from here."
    )

    @classmethod
    def whole(
        cls,
        view: RunView,
        *,
        parameters: dict[str, Any] | None,
        error: ErrorView | None,
        result: ResultView | None,
        waits: Sequence[OpenWait] = (),
        forks: Sequence[tuple[UUID, Fork]] = (),
        refusals: Sequence[Refusal] = (),
        cursor: str,
    ) -> RunShape:
        common = _common(view)
        common["error"] = ErrorShape.of(error) if error else None
        known = ResultShape(digest=view.result_digest.hex()) if view.result_digest else None
        return cls(
            **common,
            version=view.version,
            environment=view.environment,
            entrypoint=view.entrypoint,
            code_hash=view.code_hash,
            flow_version=view.flow_version,
            on_lost=view.on_lost,
            parameters=parameters,
            result=ResultShape.of(result) if result else known,
            home=Reference.of(view.home) if view.home else None,
            waits=[WaitingShape.of(wait) for wait in waits],
            forked_from=ForkShape.of(view.forked_from, view.fork)
            if view.forked_from and view.fork
            else None,
            forks=[ForkShape.of(run, fork) for run, fork in forks],
            refused_runs=[RefusedRunShape.of(refusal) for refusal in refusals],
            cursor=cursor,
        )


def microseconds(length: timedelta | None) -> int | None:
    """No less than none: the two ends of a length may come from two clocks."""
    return None if length is None else max(0, length // timedelta(microseconds=1))


def _common(view: RunView) -> dict[str, Any]:
    return {
        "id": view.id,
        "name": view.name,
        "flow": view.flow,
        "deployment": Reference.of(view.deployment),
        "pool": Reference.of(view.pool),
        "agent": Reference.of(view.agent) if view.agent else None,
        "state": view.state,
        "reason": view.reason.code,
        "reason_object": view.reason.object,
        "reason_text": view.reason.text,
        "attempt": view.fence,
        "attempts_failed": view.attempts_failed,
        "retries": view.retries,
        "tags": list(view.tags),
        "priority": view.priority,
        "created_at": view.created_at,
        "due_at": view.due_at,
        "started_at": view.started_at,
        "ended_at": view.ended_at,
        "duration_us": microseconds(view.duration),
        "error": ErrorShape(error_class=view.error_class) if view.error_class else None,
        "tasks": TaskSums.of(view.tasks),
        "parent_run": view.parent_run,
        "parent_call": view.parent_call.hex() or None,
    }


class CountsShape(Shape):
    """Runs by state, counted to a cap."""

    states: dict[RunStatus, int]
    capped: list[RunStatus] = Field(description="States that have more than `cap`.")
    cap: int
    filter: str | None = Field(
        default=None, description="The `filter` that was read, as it was sent."
    )


class AttemptShape(Shape):
    number: int
    status: str = Field(description="granted, running or closed.")
    outcome: str
    agent: Reference
    host: str
    session: UUID
    granted_at: Timestamp
    started_at: Timestamp | None
    ended_at: Timestamp | None
    facts: int = Field(description="How many facts of it are in the log.")
    cancel_requested: bool

    @classmethod
    def of(cls, view: AttemptView) -> AttemptShape:
        return cls(
            number=view.fence,
            status=view.status,
            outcome=view.outcome,
            agent=Reference(id=view.agent, name=view.agent_name),
            host=view.host,
            session=view.session,
            granted_at=view.granted_at,
            started_at=view.started_at,
            ended_at=view.ended_at,
            facts=view.facts,
            cancel_requested=view.cancel,
        )


class WaitShape(Shape):
    """Why the run waited, and from when to when."""

    since: Timestamp
    until: Timestamp | None
    reason: str
    object: str

    @classmethod
    def of(cls, view: WaitView) -> WaitShape:
        return cls(since=view.since, until=view.until, reason=view.reason, object=view.object)


class AttemptsShape(Shape):
    attempts: list[AttemptShape]
    waits: list[WaitShape]
    next: int | None = Field(default=None, description="Goes into `after` for later attempts.")


class LateFactShape(Shape):
    """Reported by an attempt that had been replaced: kept and shown, never part of the log."""

    attempt: int
    seq: int
    type: str
    occurred_at: Timestamp
    received_at: Timestamp

    @classmethod
    def of(cls, fact: LateFact) -> LateFactShape:
        return cls(
            attempt=fact.fence,
            seq=fact.seq,
            type=fact.type,
            occurred_at=fact.occurred_at,
            received_at=fact.received_at,
        )


class LineShape(Shape):
    line: int
    at: Timestamp | None
    source: str = Field(description="stdout, stderr, log, or headway for a marker.")
    level: str
    call: str
    text: str

    @classmethod
    def of(cls, line: LogLine) -> LineShape:
        return cls(
            line=line.line,
            at=line.at,
            source=line.source,
            level=line.level,
            call=line.call,
            text=line.text,
        )


class LogShape(Shape):
    attempt: int
    lines: list[LineShape]
    last_line: int = Field(description="Goes into `after_line` for what follows.")
    more: bool = Field(description="Whether more is there already.")
