"""The rows `attempt`, the guard of facts, and `slot`, which follows from open attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

from headway_control_plane.domain.run.state import AttemptState, AttemptStatus
from headway_control_plane.log.row_table import RowTable, by_key, unnest

_COLUMNS = {
    "run": "uuid",
    "fence": "int8",
    "status": "text",
    "session": "uuid",
    "agent": "uuid",
    "last_seq": "int8",
    "granted_at": "instant",
    "started_at": "instant",
    "ended_at": "instant",
    "outcome": "text",
    "cancel": "bool",
}
ATTEMPTS = RowTable(
    "attempt",
    ("ws", "run", "fence"),
    {"ws": "int8"} | _COLUMNS,
    fixed=("agent", "granted_at"),
)
SLOTS = RowTable(
    "slot",
    ("ws", "pool", "run"),
    {"ws": "int8", "pool": "uuid", "run": "uuid", "fence": "int8"},
)
SELECTED: LiteralString = ", ".join(f"a.{c}" for c in _COLUMNS)
# With each attempt comes the fence of its run: a newer one fences it.
LOAD_ATTEMPTS = (
    f"SELECT a.ws, r.fence, {SELECTED} FROM {unnest(('int8', 'uuid', 'int8'))} AS k (ws, run, fence) "  # noqa: S608 - constants
    f"CROSS JOIN {by_key('attempt', 'a', ws='k.ws', run='k.run', fence='k.fence')} "
    f"CROSS JOIN {by_key('run', 'r', ws='k.ws', run='k.run')}"
)


def read_attempt(row: Sequence[Any]) -> AttemptState:
    """Build the state from the columns that `SELECTED` names."""
    run, fence, status, *rest = row
    return AttemptState(run, fence, AttemptStatus(status), *rest)


def attempt_row(ws: int, attempt: AttemptState) -> tuple[Any, ...]:
    return ws, *(getattr(attempt, column) for column in _COLUMNS)
