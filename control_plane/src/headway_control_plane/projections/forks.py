"""What runs are made from: a run with the calls of its whole line, and the runs that were made from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import select

from headway_control_plane.application.errors import TooLarge
from headway_control_plane.application.fork_run import Source
from headway_control_plane.application.ports import LogReader, Unavailable
from headway_control_plane.db.asked_runs import read_asked
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.queries import load_queries
from headway_control_plane.db.run_json import load_fork
from headway_control_plane.db.tables import deployment, run
from headway_control_plane.domain.fork import CallFacts, Calls
from headway_control_plane.domain.run.state import Fork
from headway_control_plane.projections import checkpoints
from headway_control_plane.projections.packed_calls import unpack
from headway_control_plane.projections.reading import Reads, fetch

PROJECTION = "task_timeline"
MOST_CALLS = 100_000
_SQL = load_queries("headway_control_plane.projections", "forks.sql")
_PAUSE = 0.02
_TRIES = 250


class ForkSources:
    """Reads the inline row and the task timeline, once that has come to the end of the log."""

    def __init__(self, reads: Reads, reader: LogReader) -> None:
        self._reads = reads
        self._reader = reader

    async def source(self, ws: int, run_id: UUID) -> Source | None:
        statement = (
            select(run, deployment.c.name.label("deployment_name"))
            .join(
                deployment, (deployment.c.ws == ws) & (deployment.c.deployment == run.c.deployment)
            )
            .where(run.c.ws == ws, run.c.run == run_id)
        )
        async with self._reads.workspace(ws) as connection:
            rows = await fetch(connection, statement)
        if not rows:
            return None
        await self._wait(ws)
        async with self._reads.workspace(ws) as connection:
            calls = await _calls(connection, ws, run_id)
        [row] = rows
        content = await self._reader.blobs(ws, [row["parameters"]])
        return Source(
            run=run_id,
            deployment=row["deployment"],
            deployment_name=row["deployment_name"],
            parameters=content.get(row["parameters"]),
            tags=tuple(row["tags"]),
            priority=row["priority"],
            calls=calls,
        )

    async def _wait(self, ws: int) -> None:
        """Of an ended run every call is in the log: wait until the timeline holds what the log holds now."""
        async with self._reads.workspace(ws) as connection:
            wanted = (await checkpoints.freshness(connection, ws, PROJECTION)).head
        for _ in range(_TRIES):
            async with self._reads.workspace(ws) as connection:
                fresh = await checkpoints.freshness(connection, ws, PROJECTION)
            if fresh.checkpoint.offset >= wanted.offset:
                return
            await asyncio.sleep(_PAUSE)
        raise Unavailable("The task timeline lies behind the log.", timedelta(seconds=1))


async def _calls(connection: Connection, ws: int, run_id: UUID) -> Calls:
    """The calls of a run and of those that it was made from, as far as the run's home has them in its journal."""
    found = await connection.execute(_SQL["line"], {"ws": ws, "run": run_id})
    asked = await read_asked(connection, ws, run_id)
    calls = Calls()
    left = MOST_CALLS
    for each, cut, home, moved in await found.fetchall():
        key = {"ws": ws, "run": each, "agent": home, "limit": left + 1}
        rows = await (await connection.execute(_SQL["calls"], key)).fetchall()
        left -= sum(row[_CALLS] for row in rows)
        if left < 0:
            raise TooLarge(
                f"The run has more than {MOST_CALLS:,} calls, too many to say what would be executed.",
                hint="Run it again from its beginning, with a part of the work as its parameters.",
            )
        for _, attempt in groupby(rows, key=itemgetter(0)):
            calls.add(facts for row in attempt for facts in _facts(row))
        calls.ask((one for one in asked.runs if one.parent == each), moved=moved)
        calls.home = home
        if (taken := load_fork(cut)) is not None:
            calls.cut(taken)
    return calls


_CALLS = 9  # the column


def _facts(row: Sequence[Any]) -> list[CallFacts]:
    """What a row says: of one call, or of each call of a range."""
    _, call, parent, name, kind, status, began, ended, result, _, packed = row
    done = status in {"completed", "skipped"}
    one = CallFacts(
        call=bytes(call),
        parent=bytes(parent),
        name=name,
        kind=kind,
        status=status,
        kept=done and (result or {}).get("codec") != "none",
        executed=status != "skipped",
        began=began,
        ended=ended,
    )
    if packed is None:
        return [one]
    return [
        replace(one, call=call, began=began, ended=ended)
        for call, began, ended in unpack(packed, one.began)
    ]


async def list_forks(connection: Connection, ws: int, run_id: UUID) -> list[tuple[UUID, Fork]]:
    """The newest runs that were made from this one."""
    statement = (
        select(run.c.run, run.c.fork)
        .where(run.c.ws == ws, run.c.forked_from == run_id)
        .order_by(run.c.run.desc())
        .limit(20)
    )
    rows = await fetch(connection, statement)
    return [(row["run"], fork) for row in rows if (fork := load_fork(row["fork"])) is not None]
