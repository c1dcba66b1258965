"""The projection of calls, sub-flows and outputs over a real log: brought up to date, and read as its pages do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from headway_control_plane.db.roles import Role
from headway_control_plane.log.committer import Committer
from headway_control_plane.log.reader import Reader
from headway_control_plane.projections.engine import ProjectionEngine
from headway_control_plane.projections.task_timeline import TaskTimeline
from support.log_fixtures import Fleet


async def task_engine(log: Committer) -> ProjectionEngine:
    made = ProjectionEngine(
        log.database, Reader(log.database, role=Role.PROJECTOR), [TaskTimeline()]
    )
    await made.prepare()
    return made


async def shown(engine: ProjectionEngine, fleet: Fleet) -> None:
    """Returns once all that was reported is in the rows, without a failure."""
    engine.mark(fleet.ws)
    await engine.catch_up()
    fresh = await engine.freshness(fleet.ws, "task_timeline")
    assert not fresh.failure and fresh.behind == 0


async def read(
    fleet: Fleet, query: Callable[..., Awaitable[Any]], *values: Any, **named: Any
) -> Any:
    async with fleet.log.database.transaction(Role.APP, ws=fleet.ws) as connection:
        return await query(connection, fleet.ws, *values, **named)
