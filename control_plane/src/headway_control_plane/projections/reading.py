"""How read models are queried: in a transaction that sees one workspace, with statements composed in SQLAlchemy Core."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cached_property
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import Executable, ScalarSelect, select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.sql.selectable import ReturnsRows

from headway_control_plane.db.pool import Connection, Database
from headway_control_plane.db.roles import Role
from headway_control_plane.db.tables import projection_active
from headway_control_plane.projections.gathering import Gathering

_ANY_PLAN = {"plan_cache_mode": "force_generic_plan"}
_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class Reads:
    """Transactions of the role `app`. A statement over the time limit is ended, so that no request holds on for ever."""

    def __init__(self, database: Database, *, limit: timedelta = timedelta(seconds=5)) -> None:
        self._database = database
        self._limit = {"statement_timeout": f"{limit.total_seconds() * 1000:.0f}"}

    @asynccontextmanager
    async def workspace(self, ws: int, *, by_key: bool = False) -> AsyncIterator[Connection]:
        """Open a transaction that sees this workspace alone.

        What is only looked up `by_key` may keep its plans, for any key's is as good; planning takes longer than such a look.
        """
        settings = self._limit | (_ANY_PLAN if by_key else {})
        async with self._database.transaction(Role.APP, ws=ws, settings=settings) as connection:
            yield connection


class Prepared:
    """A composed statement that is always the same but for its named parameters (`bindparam`): compiled once, when first used."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement

    @property
    def columns(self) -> Sequence[str]:
        """The names of its columns, in order."""
        assert isinstance(self._statement, ReturnsRows)
        return [column.name for column in self._statement.exported_columns]

    @cached_property
    def compiled(self) -> tuple[bytes, dict[str, Any]]:
        return compile_statement(self._statement)


async def fetch(
    connection: Connection | Gathering, statement: Executable | Prepared, **parameters: Any
) -> list[dict[str, Any]]:
    """Run a composed statement and return its rows by column name. Only a prepared one takes parameters."""
    prepared = statement if isinstance(statement, Prepared) else Prepared(statement)
    text, constants = prepared.compiled
    values = constants | parameters
    if isinstance(connection, Gathering):
        found = await connection.execute(text, values)
        return [dict(zip(prepared.columns, row, strict=True)) for row in await found.fetchall()]
    async with connection.cursor(row_factory=dict_row) as cursor:
        # A list is planned for its very values, which a statement is that stays unprepared: a plan that suits a rare state
        # does not suit a common one. What is looked up by key is planned once: that takes longer than to execute it.
        await cursor.execute(text, values, prepare=statement is prepared)
        return await cursor.fetchall()


def compile_statement(statement: Executable) -> tuple[bytes, dict[str, Any]]:
    """Return a statement as psycopg takes it."""
    assert isinstance(statement, ClauseElement)
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled).encode(), dict(compiled.params)


def active_version() -> ScalarSelect[int]:
    """The version of the task timeline that is read, as part of a statement."""
    return (
        select(projection_active.c.version)
        .where(projection_active.c.projection == "task_timeline")
        .scalar_subquery()
    )
