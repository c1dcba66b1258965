"""How read models are queried: in a transaction that sees one workspace, with statements composed in SQLAlchemy Core."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.expression import ClauseElement

from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.roles import Role

# Queries are planned for their very values: a plan that suits a rare state does not suit a common one.
_PLANS = {"plan_cache_mode": "force_custom_plan"}
_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class Reads:
    """Transactions of the role `app`. A statement over the time limit is ended, so that no request holds on for ever."""

    def __init__(self, database: Database, *, limit: timedelta = timedelta(seconds=5)) -> None:
        self._database = database
        self._settings = _PLANS | {"statement_timeout": f"{limit.total_seconds() * 1000:.0f}"}

    @asynccontextmanager
    async def workspace(self, ws: int) -> AsyncIterator[Connection]:
        """Open a transaction that sees this workspace alone."""
        async with self._database.transaction(
            Role.APP, ws=ws, settings=self._settings
        ) as connection:
            yield connection


async def fetch(connection: Connection, statement: Executable) -> list[dict[str, Any]]:
    """Run a composed statement and return its rows by column name."""
    text, values = compile_statement(statement)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(text, values)
        return await cursor.fetchall()


def compile_statement(statement: Executable) -> tuple[bytes, dict[str, Any]]:
    """Return a statement as psycopg takes it."""
    assert isinstance(statement, ClauseElement)
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled).encode(), dict(compiled.construct_params() or {})
