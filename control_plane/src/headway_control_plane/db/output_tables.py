"""The tables of artifacts and metrics, as `tables.py` has the others."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    Table,
    Text,
    Uuid,
)
from sqlalchemy import LargeBinary as Bytes

from headway_control_plane.db.tables import metadata

artifact = Table(
    "artifact",
    metadata,
    Column("ws", BigInteger, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("run", Uuid, primary_key=True),
    Column("id", Bytes, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("call", Bytes, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("latest", Boolean, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content", Bytes, nullable=False),
    Column("description", Bytes, nullable=False),
    Column("percent", Double),
    Column("first_offset", BigInteger, nullable=False),
    Column("saved_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)
metric_batch = Table(
    "metric_batch",
    metadata,
    Column("ws", BigInteger, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("run", Uuid, primary_key=True),
    Column("series", Bytes, primary_key=True),
    Column("call", Bytes, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("recorded", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("first_offset", BigInteger, nullable=False),
    Column("told_at", DateTime(timezone=True), nullable=False),
    Column("kept", Integer, nullable=False),
    Column("lowest", Double),
    Column("highest", Double),
    Column("newest", Double),
    Column("points", ARRAY(Double), nullable=False),
    Column("times", ARRAY(BigInteger), nullable=False),
    Column("steps", ARRAY(BigInteger), nullable=False),
)
