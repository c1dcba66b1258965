"""How a table is described: one line for each type, with the columns that have it."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

metadata = sa.MetaData(schema="headway")

_TYPES: Mapping[str, TypeEngine[Any]] = {
    "bigint": sa.BigInteger(),
    "bigint[]": sa.ARRAY(sa.BigInteger()),
    "boolean": sa.Boolean(),
    "bytea": sa.LargeBinary(),
    "double": sa.Double(),
    "double[]": sa.ARRAY(sa.Double()),
    "integer": sa.Integer(),
    "jsonb": JSONB(),
    "smallint": sa.SmallInteger(),
    "text": sa.Text(),
    "text[]": sa.ARRAY(sa.Text()),
    "timestamptz": sa.DateTime(timezone=True),
    "uuid": sa.Uuid(),
}


def make_table(name: str, key: str, columns: str) -> sa.Table:
    """Make a table from lines of `type column column? ...`, where `?` marks what may be null, and its primary key."""
    keys = key.split()
    made = [
        sa.Column(
            word.rstrip("?"), _TYPES[kind], primary_key=word in keys, nullable=word.endswith("?")
        )
        for kind, *words in (line.split() for line in columns.strip().splitlines())
        for word in words
    ]
    return sa.Table(name, metadata, *made)
