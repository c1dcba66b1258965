"""The row `session`. Its lease, `expires_at`, is renewed beside the log; events that end or renew it write it too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headway_control_plane.domain.session.state import SessionState, SessionStatus
from headway_control_plane.log.row_table import RowTable, by_key, unnest
from headway_control_plane.log.rows_timers import read_deadline

_COLUMNS = {
    "session": "uuid",
    "version": "int8",
    "status": "text",
    "agent": "uuid",
    "pool": "uuid",
    "replica": "uuid",
    "host": "text",
    "agent_version": "text",
    "slots": "int4",
    "opened_at": "instant",
    "lost_at": "instant",
    "resumed_at": "instant",
    "closed_at": "instant",
    "closed_reason": "text",
    "handover": "bool",
    "expires_at": "instant",
    "incarnation": "int8",
}
SESSIONS = RowTable(
    "session",
    ("ws", "session"),
    {"ws": "int8", "shard": "int2"} | _COLUMNS,
    fixed=("shard", "agent", "pool", "host", "agent_version", "opened_at", "incarnation"),
)
LOAD_SESSIONS = (
    f"SELECT s.ws, d.kind, d.due_at, {', '.join(f's.{c}' for c in _COLUMNS)} "  # noqa: S608 - constants
    f"FROM {unnest(('int8', 'uuid'))} AS k (ws, session) CROSS JOIN {by_key('session', 's', ws='k.ws', session='k.session')} "
    f"LEFT JOIN {by_key('timer', 'd', ws='k.ws', stream_kind='5', stream_id='k.session')} ON true"
)
# Commands that move a session's row lock it, because renewals do not take the head lock. In order, against deadlocks.
LOCK_SESSIONS = (
    f"SELECT 1 FROM {unnest(('int8', 'uuid'))} AS k (ws, session) "  # noqa: S608 - constants
    f"CROSS JOIN {by_key('session', 's', ws='k.ws', session='k.session')} ORDER BY k.ws, k.session FOR UPDATE OF s"
)


def read_session(row: Sequence[Any]) -> SessionState:
    """Build the state from a row of LOAD_SESSIONS."""
    values = dict(zip(_COLUMNS, row[3:], strict=True))
    values["status"] = SessionStatus(values["status"])
    return SessionState(**values, deadline=read_deadline(row[1], row[2]))


def session_row(ws: int, shard: int, session: SessionState) -> tuple[Any, ...]:
    return ws, shard, *(getattr(session, column) for column in _COLUMNS)
