"""Several looks as one statement: what a page asks at the same time travels together.

Reading functions are given a `Gathering` in place of the connection and run side by side; whatever they ask before any of
them can go on is sent as one statement with an array of rows for each. A page then costs as many statements as its longest
chain of looks that need each other's answers, however many parts it has.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from headway_control_plane.db.pool import Connection, Row

T = TypeVar("T")
_PARAMETER = re.compile(r"%%|%\((\w+)\)")


@dataclass(frozen=True, slots=True)
class _Look:
    text: str
    values: Mapping[str, Any]
    answer: asyncio.Future[list[Row]]


class _Answer:
    """The rows of one look, as a cursor gives them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = list(rows)

    async def fetchall(self) -> list[Row]:
        return self._rows

    async def fetchone(self) -> Row | None:
        return self._rows[0] if self._rows else None


class Gathering:
    """Stands for a connection where functions only `execute` queries with named parameters and fetch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: list[_Look] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def execute(self, query: str | bytes, values: Mapping[str, Any] | None = None) -> _Answer:
        text = query.decode() if isinstance(query, bytes) else query
        loop = asyncio.get_running_loop()
        look = _Look(text, values or {}, loop.create_future())
        self._waiting.append(look)
        if len(self._waiting) == 1:
            # Those that are woken with this one, and what they begin in turn, have their say first.
            loop.call_soon(loop.call_soon, self._send)
        return _Answer(await look.answer)

    def _send(self) -> None:
        looks, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._ask(looks))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def settle(self) -> None:
        """Wait for what is on its way, so that the connection is free again."""
        await asyncio.gather(*self._sending, return_exceptions=True)

    async def _ask(self, looks: Sequence[_Look]) -> None:
        try:
            answers = await self._answers(looks)
        except Exception as error:  # noqa: BLE001 - each of them raises it where it was asked
            for look in looks:
                if not look.answer.done():
                    look.answer.set_exception(error)
            return
        for look, rows in zip(looks, answers, strict=True):
            if not look.answer.done():
                look.answer.set_result(rows)

    async def _answers(self, looks: Sequence[_Look]) -> Sequence[list[Row]]:
        if len(looks) == 1:
            found = await self._connection.execute(looks[0].text.encode(), looks[0].values)
            return [await found.fetchall()]
        text, values = combined(looks)
        found = await self._connection.execute(text.encode(), values, prepare=False)
        row = await found.fetchone()
        assert row is not None, "a statement without FROM has one row"
        return row


def combined(looks: Sequence[_Look]) -> tuple[str, dict[str, Any]]:
    """Return one statement with an array of rows for each look, and the values of all."""
    parts, values = [], {}
    for number, look in enumerate(looks):
        prefix = f"q{number}_"
        text = _renamed(look.text, prefix)
        parts.append(f"ARRAY(SELECT ROW(part.*) FROM ({text}) AS part)")  # noqa: S608 - of statements of ours
        values.update({prefix + name: value for name, value in look.values.items()})
    return "SELECT " + ",\n".join(parts), values


def _renamed(text: str, prefix: str) -> str:
    return _PARAMETER.sub(lambda found: f"%({prefix}{found[1]})" if found[1] else "%%", text)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """`connection` is what reading functions are given; `read` starts one."""

    connection: Connection
    group: asyncio.TaskGroup

    def read(self, looking: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.group.create_task(looking)


@asynccontextmanager
async def side_by_side(connection: Connection) -> AsyncIterator[SideBySide]:
    """Run reading functions side by side on one connection; at the end of the block all have ended.

    An error of one ends the others, and is raised as it is.
    """
    shared = Gathering(connection)
    try:
        async with asyncio.TaskGroup() as group:
            yield SideBySide(cast("Connection", shared), group)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        await shared.settle()
