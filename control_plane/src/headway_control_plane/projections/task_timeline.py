"""The read model `task_timeline`: what an attempt's code called, when, how it went. Rows in, fold, rows out, as sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from headway_control_plane.application.ports import Recorded
from headway_control_plane.db.pool import Connection, Row
from headway_control_plane.db.queries import load_queries
from headway_control_plane.projections.task_fold import (
    STATUSES,
    Attempt,
    Call,
    CallRow,
    Retry,
    Wanted,
    count_changes,
    fold,
    parse,
    wanted,
)

SQL = load_queries("headway_control_plane.projections", "task_timeline.sql")


class TaskTimeline:
    """Calls of tasks and sub-flows, by attempt."""

    name = "task_timeline"
    tables = ("task_timeline", "task_counts")

    async def apply(
        self, connection: Connection, ws: int, version: int, events: Sequence[Recorded]
    ) -> None:
        """Fold a batch: load what it touches, fold in memory, write back."""
        parsed = parse(events)
        if not parsed:
            return
        rows = await _load(connection, ws, version, wanted(parsed))
        before = {call: row.status for call, row in rows.items()}
        fold(parsed, rows)
        if rows:
            await _store(connection, ws, version, rows)
            await _add_counts(connection, ws, version, count_changes(before, rows))


async def _load(
    connection: Connection, ws: int, version: int, needs: Wanted
) -> dict[Call, CallRow]:
    rows: dict[Call, CallRow] = {}
    scope = {"ws": ws, "version": version}
    if needs.calls:
        keys = list(needs.calls)
        found = await connection.execute(
            SQL["load_calls"],
            scope
            | _attempt_arrays(key.attempt for key in keys)
            | {"calls": [k.call for k in keys]},
        )
        rows.update(map(_from_row, await found.fetchall()))
    if needs.ended:
        found = await connection.execute(
            SQL["load_open_calls"], scope | _attempt_arrays(needs.ended)
        )
        rows.update(map(_from_row, await found.fetchall()))
    return rows


async def _store(
    connection: Connection, ws: int, version: int, rows: Mapping[Call, CallRow]
) -> None:
    values = list(rows.values())
    await connection.execute(
        SQL["store_calls"],
        {
            "ws": ws,
            "version": version,
            **_attempt_arrays(call.attempt for call in rows),
            "calls": [call.call for call in rows],
            "parents": [row.parent for row in values],
            "kinds": [row.kind for row in values],
            "names": [row.name for row in values],
            "statuses": [row.status for row in values],
            "first_offsets": [row.first_offset for row in values],
            "started": [row.started_at for row in values],
            "ended": [row.ended_at for row in values],
            "tries": [row.tries for row in values],
            "retries": [_retries_text(row.retries) for row in values],
            "error_classes": [row.error_class for row in values],
            "error_texts": [row.error_text for row in values],
            "results": [json.dumps(row.result) if row.result else None for row in values],
        },
    )


async def _add_counts(
    connection: Connection, ws: int, version: int, changes: Mapping[Attempt, Mapping[str, int]]
) -> None:
    if not changes:
        return
    sums = {status: [change[status] for change in changes.values()] for status in STATUSES}
    await connection.execute(
        SQL["add_counts"], {"ws": ws, "version": version, **_attempt_arrays(changes), **sums}
    )


def _attempt_arrays(attempts: Iterable[Attempt]) -> dict[str, Any]:
    keys = list(attempts)
    return {"runs": [key.run for key in keys], "fences": [key.fence for key in keys]}


def _from_row(row: Row) -> tuple[Call, CallRow]:
    run, fence, call, parent, kind, name, status, first_offset, started, ended, *rest = row
    tries, retries, error_class, error_text, result = rest
    return Call(Attempt(run, fence), call), CallRow(
        parent=parent,
        kind=kind,
        name=name,
        status=status,
        first_offset=first_offset,
        started_at=started,
        ended_at=ended,
        tries=tries,
        retries=[retry_from_json(item) for item in retries],
        error_class=error_class,
        error_text=error_text,
        result=result,
    )


def _retries_text(retries: Sequence[Retry]) -> str:
    if not retries:
        return "[]"
    return json.dumps(
        [
            {
                "try": retry.number,
                "at": retry.at.isoformat(),
                "delay_us": retry.delay_us,
                "error_class": retry.error_class,
            }
            for retry in retries
        ]
    )


def retry_from_json(item: Mapping[str, Any]) -> Retry:
    """Read one entry of the column `retries`."""
    return Retry(
        item["try"], datetime.fromisoformat(item["at"]), item["delay_us"], item["error_class"]
    )
