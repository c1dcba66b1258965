"""The table `subflow` as the read model `task_timeline` keeps it: rows in, fold, rows out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from headway_control_plane.db.pool import Connection, Row
from headway_control_plane.db.queries import load_queries
from headway_control_plane.projections.subflow_fold import (
    Subflow,
    SubflowKey,
    fold,
    wanted,
)
from headway_control_plane.projections.task_fold import CallRow, Parsed

SQL = load_queries("headway_control_plane.projections", "subflow_rows.sql")


async def apply(connection: Connection, ws: int, version: int, parsed: Sequence[Parsed]) -> None:
    """Fold a batch. A batch without sub-flows costs one look for those that its ended attempts had under way."""
    needs = wanted(parsed)
    rows: dict[SubflowKey, Subflow] = {}
    listed: dict[UUID, int] = {}
    if needs.keys:
        keys = [{"run": str(run), "call": _hex(call)} for run, call in needs.keys]
        rows.update(map(_from_row, await _run(connection, "load_subflows", ws, version, keys)))
        runs = [{"run": str(run)} for run in {key.run for key in needs.keys}]
        listed.update(await _run(connection, "count_subflows", ws, version, runs))
    if needs.ended:
        ended = [{"run": str(run)} for run in needs.ended]
        rows.update(map(_from_row, await _run(connection, "load_under_way", ws, version, ended)))
    fold(parsed, rows, listed)
    if rows:
        stored = [_to_json(*item) for item in rows.items()]
        await _run(connection, "store_subflows", ws, version, stored)


async def _run(
    connection: Connection, query: str, ws: int, version: int, rows: Sequence[Mapping[str, Any]]
) -> list[Row]:
    done = await connection.execute(
        SQL[query], {"ws": ws, "version": version, "rows": json.dumps(rows)}
    )
    return await done.fetchall() if done.description else []


def _hex(value: bytes) -> str:
    """Write bytes as PostgreSQL reads them."""
    return "\\x" + value.hex()


def _to_json(key: SubflowKey, held: Subflow) -> dict[str, Any]:
    row = held.row
    return {
        "run": str(key.run),
        "call": _hex(key.call),
        "place": str(held.place),
        "fence": held.fence,
        "parent": _hex(row.parent),
        "name": row.name,
        "status": row.status,
        "first_offset": row.first_offset,
        "started_at": row.started_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "error_class": row.error_class,
        "error_text": _hex(row.error_text),
    }


def _from_row(row: Row) -> tuple[SubflowKey, Subflow]:
    run, call, place, fence, parent, name, status, first_offset, started, ended, *error = row
    error_class, error_text = error
    held = CallRow(
        parent=parent,
        kind="flow",
        name=name,
        status=status,
        first_offset=first_offset,
        started_at=started,
        ended_at=ended,
        error_class=error_class,
        error_text=error_text,
    )
    return SubflowKey(run, bytes(call)), Subflow(place, fence, held)
