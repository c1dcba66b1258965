"""Operations on what belongs to one run: attempts, tasks, lines of output, late facts."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from sqlalchemy import select

from headway_control_plane.application.errors import Missing
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import run
from headway_control_plane.http_api.auth import CallerDependency, ServicesDependency
from headway_control_plane.http_api.call_keys import call_of
from headway_control_plane.http_api.common import (
    MinOffset,
    MinOffsetHeader,
    PageLimit,
    errors,
    require_text,
)
from headway_control_plane.http_api.freshness import Wanted, wait_for_projection
from headway_control_plane.http_api.routes_runs import missing_run
from headway_control_plane.http_api.shapes_runs import (
    AttemptShape,
    AttemptsShape,
    LateFactShape,
    LineShape,
    LogShape,
    TaskSums,
    WaitShape,
)
from headway_control_plane.http_api.shapes_tasks import (
    MemberShape,
    MembersShape,
    TaskShape,
    TasksShape,
)
from headway_control_plane.projections import attempts, calls, logs, tasks
from headway_control_plane.projections.reading import fetch
from headway_control_plane.projections.wishes import list_refusals

router = APIRouter(prefix="/runs/{run_id}", tags=["runs"])

CallStatus = Literal[
    "running", "retrying", "paused", "completed", "failed", "cancelled", "skipped", "interrupted"
]
Attempt = Annotated[
    int | None, Query(ge=1, le=2**62, description="Number of the attempt; the newest if left out.")
]
Status = Annotated[
    list[CallStatus] | None,
    Query(description="Any of these."),
]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Number = Annotated[int, Query(ge=0, le=2**62)]


@router.get(
    "/attempts",
    summary="List a run's attempts and waits",
    response_model=AttemptsShape,
    responses=errors(404, 422),
)
async def list_attempts(
    run_id: UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    after: Number = 0,
    limit: PageLimit = 100,
) -> AttemptsShape:
    """Attempts in order, and why the run waited between them."""
    async with services.reads.workspace(caller.ws) as connection:
        await _newest_fence(connection, caller.ws, run_id)
        found = await attempts.list_attempts(
            connection, caller.ws, run_id, after=after, limit=limit + 1
        )
        waits = await attempts.list_waits(connection, caller.ws, run_id)
    return AttemptsShape(
        attempts=[AttemptShape.of(view) for view in found[:limit]],
        waits=[WaitShape.of(view) for view in waits],
        next=found[limit - 1].fence if len(found) > limit else None,
    )


@router.get(
    "/tasks",
    summary="List the calls of an attempt",
    response_model=TasksShape,
    responses=errors(400, 404, 410, 422),
)
async def list_tasks(
    *,
    run_id: UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    attempt: Attempt = None,
    status: Status = None,
    name: Annotated[str | None, Query(max_length=500, description="Calls of this task.")] = None,
    within: Annotated[
        str | None,
        Query(max_length=32, description="What lies within this call, however deep."),
    ] = None,
    after: Number = 0,
    limit: PageLimit = 100,
    min_offset: MinOffset = None,
    min_offset_header: MinOffsetHeader = None,
) -> TasksShape:
    """Calls of tasks and sub-flows in the order in which the log heard of them.

    With `within`, `counts` are those of the calls within, up to 10,000 of them.
    """
    wanted = Wanted.parse(min_offset, min_offset_header)
    await wait_for_projection(services, caller.ws, "task_timeline", wanted)
    async with services.reads.workspace(caller.ws) as connection:
        fence = await fence_of(connection, caller.ws, run_id, attempt)
        around = await call_of(connection, caller.ws, run_id, fence, "within", within)
        wish: dict[str, Any] = {
            "after": after,
            "limit": limit,
            "statuses": status,
            "name": require_text("name", name),
        }
        if around is None:
            page = await tasks.page(connection, caller.ws, run_id, fence, **wish)
            sums = (await tasks.counts(connection, caller.ws, [run_id], fence=fence)).get(run_id)
        else:
            page = await calls.within(connection, caller.ws, run_id, fence, around, **wish)
            inner = await calls.look_within(connection, caller.ws, run_id, fence, around)
            sums = inner.counts
        refusals = await list_refusals(connection, caller.ws, run_id)
    why = {refusal.call: refusal.text for refusal in refusals}
    return TasksShape(
        attempt=fence,
        counts=TaskSums.of(sums),
        items=[TaskShape.of(task, why.get(task.call, "")) for task in page.items],
        next=page.next,
    )


@router.get(
    "/tasks/{call}/calls",
    summary="List the calls of a range",
    response_model=MembersShape,
    responses=errors(404, 422),
)
async def list_calls_of_range(
    run_id: UUID,
    call: Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="`call` of the range.")],
    caller: CallerDependency,
    services: ServicesDependency,
    attempt: Attempt = None,
    after: Number = 0,
    limit: PageLimit = 100,
) -> MembersShape:
    """The calls that one item of the list of tasks stands for, in the order in which they ended. All of them completed."""
    async with services.reads.workspace(caller.ws) as connection:
        fence = await fence_of(connection, caller.ws, run_id, attempt)
        key = bytes.fromhex(call)
        found = await tasks.members(connection, caller.ws, run_id, fence, [key])
    if key not in found:
        raise Missing(
            f"Attempt {fence} has no range of calls that begins with {call}.",
            hint="Take `call` of an item of /tasks whose `calls` is more than 1.",
        )
    calls = found[key]
    end = after + limit
    return MembersShape(
        attempt=fence,
        total=len(calls),
        items=[MemberShape.of(each) for each in calls[after:end]],
        next=end if end < len(calls) else None,
    )


@router.get(
    "/logs", summary="Read lines of output", response_model=LogShape, responses=errors(404, 422)
)
async def read_logs(
    *,
    run_id: UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    attempt: Attempt = None,
    after_line: Number = 0,
    limit: Annotated[int, Query(ge=1, le=2000)] = 500,
    level: Annotated[Level | None, Query(description="Least severe level.")] = None,
    q: Annotated[str | None, Query(max_length=200, description="Text in the line.")] = None,
    call: Annotated[
        str | None,
        Query(max_length=32, description="Lines of this call and of what it called, however deep."),
    ] = None,
    tail: Annotated[
        bool, Query(description="The last lines instead of those behind `after_line`.")
    ] = False,
) -> LogShape:
    """Lines of an attempt's output, in order. With a filter a page may be short: go on while `more` is true."""
    async with services.reads.workspace(caller.ws) as connection:
        fence = await fence_of(connection, caller.ws, run_id, attempt)
        key = await call_of(connection, caller.ws, run_id, fence, "call", call)
        keys = (
            None if key is None else await calls.keys_of(connection, caller.ws, run_id, fence, key)
        )
        wanted = logs.LogFilter(level, require_text("q", q) or None, keys)
        if tail:
            page = await logs.read_tail(connection, caller.ws, run_id, fence, limit=limit)
        else:
            page = await logs.read_lines(
                connection,
                caller.ws,
                run_id,
                fence,
                after_line=after_line,
                limit=limit,
                wanted=wanted,
            )
    return LogShape(
        attempt=fence,
        lines=[LineShape.of(line) for line in page.lines],
        last_line=page.last_line,
        more=page.more,
    )


@router.get(
    "/late-facts",
    summary="List late facts",
    response_model=list[LateFactShape],
    responses=errors(404, 422),
)
async def list_late_facts(
    run_id: UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    after_attempt: Number = 0,
    after_seq: Number = 0,
    limit: PageLimit = 100,
) -> list[LateFactShape]:
    """What attempts reported after they had been replaced."""
    async with services.reads.workspace(caller.ws) as connection:
        await _newest_fence(connection, caller.ws, run_id)
        found = await attempts.list_late_facts(
            connection, caller.ws, run_id, after=(after_attempt, after_seq), limit=limit
        )
    return [LateFactShape.of(fact) for fact in found]


async def fence_of(connection: Connection, ws: int, run_id: UUID, attempt: int | None) -> int:
    """Return the attempt that is meant; raises Missing for one that the run has not had."""
    newest = await _newest_fence(connection, ws, run_id)
    if attempt is not None and attempt > newest:
        raise Missing(
            f"The run has no attempt {attempt}; it has had {newest}.",
            hint="Leave `attempt` out for the newest.",
        )
    return attempt or newest


async def require_run(connection: Connection, ws: int, run_id: UUID) -> None:
    """Refuse to speak of a run that is not there; another workspace's looks the same."""
    await _newest_fence(connection, ws, run_id)


async def _newest_fence(connection: Connection, ws: int, run_id: UUID) -> int:
    rows = await fetch(connection, select(run.c.fence).where(run.c.ws == ws, run.c.run == run_id))
    if not rows:
        raise missing_run()
    return int(rows[0]["fence"])
