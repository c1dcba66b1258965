"""Artifacts and metrics among the rows of `task_timeline`: rows in, fold, rows out, as sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from headway_control_plane.application.ports import Recorded
from headway_control_plane.db.pool import Connection, Row
from headway_control_plane.db.queries import load_queries
from headway_control_plane.projections.output_fold import (
    ArtifactId,
    Changes,
    Latest,
    fold_artifacts,
    fold_metrics,
    hexed,
    parse,
)

SQL = load_queries("headway_control_plane.projections", "outputs.sql")
TABLES = ("artifact", "metric_batch")


async def apply(connection: Connection, ws: int, version: int, events: Sequence[Recorded]) -> None:
    """Fold the side outputs of a batch; most batches have none. Raises BrokenEvent before it wrote anything."""
    parsed = parse(events)
    if not parsed:
        return
    changes = Changes()
    fold_metrics(parsed, changes)
    saved = [(event, body) for event, body in parsed if event.type == "ArtifactSaved"]
    if saved:
        named = [{"run": str(event.stream.id), "id": hexed(body.id)} for event, body in saved]
        rows = await _run(connection, "load_artifacts", ws, version, named)
        keys = sorted({body.key for _, body in saved if body.key})
        newest = await _run(connection, "load_latest", ws, version, [{"key": key} for key in keys])
        fold_artifacts(
            saved, {ArtifactId(*row) for row in rows}, dict(map(_latest, newest)), changes
        )
    await _store(connection, ws, version, changes)


async def _store(connection: Connection, ws: int, version: int, changes: Changes) -> None:
    outdated = [{"run": str(old.run), "id": hexed(old.id)} for old in changes.outdated]
    for query, rows in (
        ("outdate", outdated),
        ("add_artifacts", list(changes.artifacts.values())),
        ("move_progress", list(changes.moved.values())),
        ("drop_points", changes.replaced),
        ("add_points", changes.batches),
    ):
        await _run(connection, query, ws, version, rows)


def _latest(row: Row) -> tuple[str, Latest]:
    key, number, run, id_, *content = row
    return key, Latest(number, ArtifactId(run, id_), tuple(content))


async def _run(
    connection: Connection, query: str, ws: int, version: int, rows: Sequence[Mapping[str, Any]]
) -> list[Row]:
    if not rows:
        return []
    done = await connection.execute(
        SQL[query], {"ws": ws, "version": version, "rows": json.dumps(rows)}
    )
    return await done.fetchall() if done.description else []
