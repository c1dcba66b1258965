"""How an inline table is read and written as a whole set: one statement for all rows of a flush."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from headway_control_plane.db.pool import Connection
from headway_control_plane.log.packed import pack_rows

_SQL_TYPES = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "bool": "boolean",
    "uuid": "uuid",
    "text": "text",
    "texts": "text",
    "bytes": "bytea",
    "instant": "timestamptz",
}


def unnest(kinds: Sequence[str]) -> LiteralString:
    """Return `unnest(...)` over one packed array for each kind."""
    return f"unnest({', '.join(f'%b::{_SQL_TYPES[k]}[]' for k in kinds)})"


def by_key(table: LiteralString, name: LiteralString, **key: LiteralString) -> LiteralString:
    """Return `LATERAL (...) AS name`: a table's rows by these columns, as many times as there are keys.

    Left to itself the planner may turn the join round and walk through all rows of a workspace, comparing each with the keys: in a
    young database, where no table has statistics yet, that seems cheapest, and the plan is kept while the tables grow. The OFFSET
    keeps the look-up a look-up.
    """
    matches = " AND ".join(f"{table}.{column} = {value}" for column, value in key.items())
    return f"LATERAL (SELECT * FROM {table} WHERE {matches} OFFSET 0) AS {name}"  # noqa: S608 - constants


UNCHANGED = b"="
"""In the place of a long value that a row has already."""


class RowTable:
    """One table: its key, its columns and their kinds (of `packed.KINDS`).

    Statements are put together from these constants alone. `fixed` columns are written once and then kept. `long` ones, of bytes, lie beside
    the row when they grow: where a row says UNCHANGED, they are not written again. `again`: what is done where all columns are fixed and the row is there.
    """

    def __init__(
        self,
        name: LiteralString,
        key: Sequence[str],
        columns: Mapping[str, str],
        *,
        fixed: Sequence[str] = (),
        long: Sequence[str] = (),
        again: LiteralString = "NOTHING",
    ) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.kinds = tuple(columns.values())
        key_kinds = [columns[column] for column in key]
        self.key_kinds = tuple(key_kinds)
        values = [f"{c}::text[]" if kind == "texts" else c for c, kind in columns.items()]
        moved = [c for c in columns if c not in key and c not in fixed]
        update = ", ".join(
            f"{c} = {_moved(name, c) if c in long else f'excluded.{c}'}" for c in moved
        )
        self._upsert = (
            f"INSERT INTO {name} ({', '.join(columns)}) "  # noqa: S608 - constants
            f"SELECT {', '.join(values)} FROM {unnest(self.kinds)} AS r ({', '.join(columns)}) "
            f"ON CONFLICT ({', '.join(key)}) DO " + (f"UPDATE SET {update}" if update else again)
        )
        matches = " AND ".join(f"t.{c} = k.{c}" for c in key)
        self._delete = f"DELETE FROM {name} t USING {unnest(key_kinds)} AS k ({', '.join(key)}) WHERE {matches}"  # noqa: S608 - constants

    async def upsert(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, or move those whose key is there. The order of the rows is the order of the writes."""
        if rows:
            await connection.execute(self._upsert, pack_rows(self.kinds, rows), prepare=True)

    async def delete(self, connection: Connection, keys: Sequence[Sequence[Any]]) -> None:
        if keys:
            await connection.execute(self._delete, pack_rows(self.key_kinds, keys), prepare=True)


def _moved(table: str, column: str) -> str:
    return f"CASE WHEN excluded.{column} = '\\x{UNCHANGED.hex()}' THEN {table}.{column} ELSE excluded.{column} END"
