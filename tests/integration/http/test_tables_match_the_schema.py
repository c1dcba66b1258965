"""`db/tables.py` says what the migrated database is; a migration that moves one without the other fails here."""

import pytest

from headway_control_plane.db import output_tables
from headway_control_plane.db.tables import metadata
from support.postgres import ScratchDatabase

pytestmark = pytest.mark.postgres

COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'headway'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
KEYS = """
SELECT c.relname, array_agg(a.attname ORDER BY k.n)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, n)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE i.indisprimary AND c.relnamespace = 'headway'::regnamespace AND NOT c.relispartition
GROUP BY c.relname
"""
NAMES = {
    "BIGINT": "bigint",
    "BIGINT[]": "bigint[]",
    "BOOLEAN": "boolean",
    "BYTEA": "bytea",
    "DOUBLE PRECISION": "double precision",
    "DOUBLE PRECISION[]": "double precision[]",
    "INTEGER": "integer",
    "JSONB": "jsonb",
    "SMALLINT": "smallint",
    "TEXT": "text",
    "TEXT[]": "text[]",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "UUID": "uuid",
}


assert output_tables.artifact.metadata is metadata  # its tables are among them


def described() -> dict[str, list[tuple[str, str, bool]]]:
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect()
    return {
        table.name: [
            (column.name, NAMES[column.type.compile(dialect)], column.nullable)
            for column in table.columns
        ]
        for table in metadata.sorted_tables
    }


def test_every_table_has_the_columns_of_the_migration(database: ScratchDatabase) -> None:
    found: dict[str, list[tuple[str, str, bool]]] = {}
    with database.connect() as connection:
        for table, *column in connection.execute(COLUMNS):
            found.setdefault(table, []).append(tuple(column))
    assert described() == found


def test_every_table_has_the_primary_key_of_the_migration(database: ScratchDatabase) -> None:
    with database.connect() as connection:
        found = {table: set(columns) for table, columns in connection.execute(KEYS)}
    assert {
        table.name: {column.name for column in table.primary_key.columns}
        for table in metadata.sorted_tables
    } == found
