"""The row of a workspace's variables: all of them as JSON, for they are read and moved as a whole. Values lie in `payload`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headway_control_plane.db.variables_json import dump_entries, load_entries
from headway_control_plane.domain.variables.state import VariablesState
from headway_control_plane.log.row_table import RowTable, unnest

VARIABLES = RowTable("variables", ("ws",), {"ws": "int8", "version": "int8", "entries": "bytes"})
LOAD_VARIABLES = (
    "SELECT v.ws, v.version, v.entries "  # noqa: S608 - constants
    f"FROM {unnest(('int8', 'uuid'))} AS k (ws, id) JOIN variables v ON v.ws = k.ws"
)


def read_variables(row: Sequence[Any]) -> VariablesState:
    _, version, entries = row
    return VariablesState(version, load_entries(entries))


def variables_row(ws: int, state: VariablesState) -> tuple[Any, ...]:
    return ws, state.version, dump_entries(state)
