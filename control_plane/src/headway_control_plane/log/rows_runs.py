"""The rows `run` and `run_tag`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headway_control_plane.db.run_json import (
    dump_fork,
    dump_waits,
    load_fork,
    load_waits,
)
from headway_control_plane.domain.run.events import Isolation, OnLost
from headway_control_plane.domain.run.state import RunState, RunStatus
from headway_control_plane.log.row_table import UNCHANGED, RowTable, by_key, unnest
from headway_control_plane.log.rows_answers import JOIN_ANSWERS, read_answers
from headway_control_plane.log.rows_answers import SELECTED as ANSWERS_SELECTED
from headway_control_plane.log.rows_attempts import SELECTED
from headway_control_plane.log.rows_timers import read_deadline

_COLUMNS = {
    "run": "uuid",
    "version": "int8",
    "status": "text",
    "reason": "text",
    "fence": "int8",
    "deployment": "uuid",
    "pool": "uuid",
    "flow": "text",
    "name": "text",
    "tags": "texts",
    "environment": "text",
    "entrypoint": "text",
    "code_hash": "text",
    "parameters": "bytes",
    "priority": "int2",
    "retries": "int4",
    "retry_delay_ms": "int8",
    "on_lost": "text",
    "cancel_grace_ms": "int8",
    "kill_grace_ms": "int8",
    "attempts_failed": "int4",
    "deaths": "int4",
    "session": "uuid",
    "created_at": "instant",
    "due_at": "instant",
    "started_at": "instant",
    "ended_at": "instant",
    "error_class": "text",
    "error_text": "bytes",
    "result_digest": "bytes",
    "home": "uuid",
    "waits": "bytes",
    "forked_from": "uuid",
    "fork": "bytes",
    "isolation": "text",
    "max_runs_per_process": "int4",
    "max_memory_mb": "int4",
    "parent_run": "uuid",
    "parent_call": "bytes",
    "flow_version": "text",
}
_FIXED = (
    "shard", "deployment", "pool", "flow", "name", "tags", "environment", "entrypoint", "code_hash", "parameters",
    "priority", "retries", "retry_delay_ms", "on_lost", "cancel_grace_ms", "kill_grace_ms", "created_at", "forked_from", "fork",
    "isolation", "max_runs_per_process", "max_memory_mb",
    "parent_run", "parent_call", "flow_version",
)  # fmt: skip

_LONG = ("waits",)  # of one that waits for five hundred others
RUNS = RowTable(
    "run",
    ("ws", "run"),
    {"ws": "int8", "shard": "int2"} | _COLUMNS,
    fixed=_FIXED,
    long=_LONG,
)
_STATE = ", ".join([*(f"r.{column}" for column in _COLUMNS), ANSWERS_SELECTED])
BEHIND = 3 + len(_COLUMNS) + 2  # where the attempt begins in a row of LOAD_RUNS
RUN_TAGS = RowTable("run_tag", ("ws", "tag", "run"), {"ws": "int8", "tag": "text", "run": "uuid"})
_TIMER = by_key("timer", "d", ws="r.ws", stream_kind="6", stream_id="r.run")
# With its newest attempt, if there was one: whatever moves the run may close it.
LOAD_RUNS = (
    f"SELECT r.ws, d.kind, d.due_at, {_STATE}, {SELECTED} "  # noqa: S608 - constants
    f"FROM {unnest(('int8', 'uuid'))} AS k (ws, run) CROSS JOIN {by_key('run', 'r', ws='k.ws', run='k.run')} {JOIN_ANSWERS} "
    f"LEFT JOIN {by_key('attempt', 'a', ws='k.ws', run='k.run', fence='r.fence')} ON true "
    f"LEFT JOIN {_TIMER} ON true"
)
# A run may be taken by calls of those that its parent was made into, and of its parent on another agent.
_IS_OF_LINE = (
    "({child}.parent_run = {parent} OR EXISTS ("  # noqa: S608 - constants
    "WITH RECURSIVE line AS ("
    f"SELECT l.forked_from FROM {by_key('run', 'l', ws='k.ws', run='{parent}')} "
    f"UNION ALL SELECT l.forked_from FROM line CROSS JOIN {by_key('run', 'l', ws='k.ws', run='line.forked_from')}) "
    "SELECT FROM line WHERE line.forked_from = {child}.parent_run))"
)
# Of runs that may end: the runs that asked for them, which wait for that.
LOAD_PARENTS = (
    f"SELECT r.ws, d.kind, d.due_at, {_STATE}, c.run, w.parent, w.call "  # noqa: S608 - constants
    f"FROM {unnest(('int8', 'uuid'))} AS k (ws, run) "
    f"JOIN {by_key('run', 'c', ws='k.ws', run='k.run')} ON c.parent_run IS NOT NULL "
    f"JOIN {by_key('child_run', 'w', run='k.run')} ON w.ws = k.ws AND {_IS_OF_LINE.format(parent='w.parent', child='c')} "
    f"CROSS JOIN {by_key('run', 'r', ws='w.ws', run='w.parent')} {JOIN_ANSWERS} "
    f"LEFT JOIN {_TIMER} ON true"
)
# By parent and call: what the call's newest attempt would name need not be what its first one asked for. Else as it is named: a call that takes
# another's run may wait in the flush that says so.
LOAD_CHILDREN = (
    f"SELECT r.ws, d.kind, d.due_at, {_STATE}, r.run, k.parent, k.call "  # noqa: S608 - constants
    f"FROM {unnest(('int8', 'uuid', 'bytes', 'uuid'))} AS k (ws, parent, call, named) "
    f"LEFT JOIN {by_key('child_run', 'w', ws='k.ws', parent='k.parent', call='k.call')} ON true "
    "CROSS JOIN LATERAL (SELECT coalesce(w.run, k.named) AS run OFFSET 0) AS n "
    f"JOIN {by_key('run', 'r', ws='k.ws', run='n.run')} ON {_IS_OF_LINE.format(parent='k.parent', child='r')} {JOIN_ANSWERS} "
    f"LEFT JOIN {_TIMER} ON true"
)
_READ: dict[str, Callable[[bytes], Any]] = {
    "waits": load_waits,
    "fork": load_fork,
}
_WRITTEN: dict[str, Callable[[Any], bytes]] = {
    "waits": dump_waits,
    "fork": dump_fork,
}


def read_run(row: Sequence[Any]) -> RunState:
    """Build the state from a row of LOAD_RUNS, LOAD_PARENTS or LOAD_CHILDREN; what stands behind the run is not looked at."""
    values = dict(zip(_COLUMNS, row[3 : BEHIND - 2], strict=True))
    values["answers"] = read_answers(*row[BEHIND - 2 : BEHIND])
    values["status"] = RunStatus(values["status"])
    values["on_lost"] = OnLost(values["on_lost"])
    values["isolation"] = Isolation(values["isolation"]) if values["isolation"] else None
    values["tags"] = tuple(values["tags"])
    values |= {column: _READ[column](values[column]) for column in _READ}
    return RunState(**values, deadline=read_deadline(row[1], row[2]))


def run_row(ws: int, shard: int, run: RunState, before: RunState | None) -> tuple[Any, ...]:
    """`before`: as the row has it."""
    return ws, shard, *(_value(run, column, before) for column in _COLUMNS)


def _value(run: RunState, column: str, before: RunState | None) -> Any:
    value = getattr(run, column)
    if column in _LONG and before is not None and value and value == getattr(before, column):
        return UNCHANGED
    return _WRITTEN[column](value) if column in _WRITTEN else value


def tag_rows(ws: int, run: RunState, before: RunState | None) -> list[tuple[Any, ...]]:
    """Return the rows of the tags of a run that has no row yet; they never change."""
    return [(ws, tag, run.run) for tag in dict.fromkeys(run.tags)] if before is None else []
