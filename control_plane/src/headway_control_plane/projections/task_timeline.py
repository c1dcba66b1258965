"""The read model `task_timeline`: what an attempt's code called, when, how it went. Rows in, fold, rows out, as sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headway_control_plane.application.ports import Recorded
from headway_control_plane.db.pool import Connection, Row
from headway_control_plane.db.queries import load_queries
from headway_control_plane.projections import outputs, subflow_rows
from headway_control_plane.projections.task_fold import (
    Attempt,
    Call,
    CallRow,
    Retry,
    Wanted,
    count_changes,
    fold,
    parse,
    standing,
    wanted,
)

SQL = load_queries("headway_control_plane.projections", "task_timeline.sql")


class TaskTimeline:
    """Calls of tasks and sub-flows, by attempt; and what they leave beside, so that the log is read once for both."""

    name = "task_timeline"
    tables = ("task_timeline", "task_counts", "subflow", *outputs.TABLES)

    async def apply(
        self, connection: Connection, ws: int, version: int, events: Sequence[Recorded]
    ) -> None:
        """Fold a batch: load what it touches, fold in memory, write back."""
        parsed = parse(events)
        await outputs.apply(connection, ws, version, events)
        if not parsed:
            return
        rows = await _load(connection, ws, version, wanted(parsed))
        before = {call: standing(row) for call, row in rows.items()}
        fold(parsed, rows)
        if rows:
            await _store(connection, ws, version, rows)
            await _add_counts(connection, ws, version, count_changes(before, rows))
        await subflow_rows.apply(connection, ws, version, parsed)


async def _load(
    connection: Connection, ws: int, version: int, needs: Wanted
) -> dict[Call, CallRow]:
    rows: dict[Call, CallRow] = {}
    if needs.calls:
        keys = [_name(key.attempt) | {"call": _hex(key.call)} for key in needs.calls]
        rows.update(map(_from_row, await _run(connection, "load_calls", ws, version, keys)))
    if needs.ended:
        ended = [_name(attempt) for attempt in needs.ended]
        rows.update(map(_from_row, await _run(connection, "load_under_way", ws, version, ended)))
    return rows


async def _store(
    connection: Connection, ws: int, version: int, rows: Mapping[Call, CallRow]
) -> None:
    await _run(connection, "store_calls", ws, version, [_to_json(*item) for item in rows.items()])


async def _add_counts(
    connection: Connection, ws: int, version: int, changes: Mapping[Attempt, Mapping[str, int]]
) -> None:
    if changes:
        moved = [_name(attempt) | dict(change) for attempt, change in changes.items()]
        await _run(connection, "add_counts", ws, version, moved)


async def _run(
    connection: Connection, query: str, ws: int, version: int, rows: Sequence[Mapping[str, Any]]
) -> list[Row]:
    done = await connection.execute(
        SQL[query], {"ws": ws, "version": version, "rows": json.dumps(rows)}
    )
    return await done.fetchall() if done.description else []


def _name(attempt: Attempt) -> dict[str, Any]:
    return {"run": str(attempt.run), "fence": attempt.fence}


def _hex(value: bytes) -> str:
    """Write bytes as PostgreSQL reads them."""
    return "\\x" + value.hex()


def _to_json(call: Call, row: CallRow) -> dict[str, Any]:
    return {
        "run": str(call.attempt.run),
        "fence": call.attempt.fence,
        "call": _hex(call.call),
        "parent": _hex(row.parent),
        "kind": row.kind,
        "name": row.name,
        "status": row.status,
        "first_offset": row.first_offset,
        "started_at": row.started_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "tries": row.tries,
        "retries": [_retry_to_json(retry) for retry in row.retries],
        "error_class": row.error_class,
        "error_text": _hex(row.error_text),
        "result": row.result,
        "calls": row.calls,
        "run_name": _hex(row.run_name),
        "busy_us": row.busy_us,
        "median_us": row.median_us,
        "longest_us": row.longest_us,
        "packed": None if row.packed is None else _hex(row.packed),
    }


def _from_row(row: Row) -> tuple[Call, CallRow]:
    run, fence, call, parent, kind, name, status, first_offset, started, ended, *rest = row
    tries, retries, error_class, error_text, result, calls, run_name, *spread = rest
    busy_us, median_us, longest_us, packed = spread
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
        calls=calls,
        run_name=run_name,
        busy_us=busy_us,
        median_us=median_us,
        longest_us=longest_us,
        packed=packed,
    )


def _retry_to_json(retry: Retry) -> dict[str, Any]:
    return {
        "try": retry.number,
        "at": retry.at.isoformat(),
        "delay_us": retry.delay_us,
        "error_class": retry.error_class,
    }


def retry_from_json(item: Mapping[str, Any]) -> Retry:
    """Read one entry of the column `retries`."""
    return Retry(
        item["try"], datetime.fromisoformat(item["at"]), item["delay_us"], item["error_class"]
    )
