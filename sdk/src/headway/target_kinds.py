"""Targets for files and tables; any other object with `exists()` is one too."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from headway.errors import InvalidOption

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A file, or a directory. Written through `open`, it is there whole or not at all."""

    path: str

    def __init__(self, path: str | Path) -> None:
        object.__setattr__(self, "path", os.fspath(path))

    def exists(self) -> bool:
        """Whether there is something at the path."""
        return os.path.exists(self.path)  # noqa: PTH110 - importing pathlib is a cost that not every flow has to bear

    @contextmanager
    def open(self, mode: str = "w", **how: Any) -> Iterator[IO[Any]]:
        """Opens a file beside the path for writing, and moves it to the path when the block has ended well.

        Args:
            mode: `w` or `wb`.
            **how: As for the built-in `open`, such as `encoding` and `newline`.

        Raises:
            ValueError: Another mode.
            OSError: It cannot be written.
        """
        if mode not in {"w", "wb"}:
            raise ValueError(f"a target is written whole: mode 'w' or 'wb', not {mode!r}")
        folder, name = os.path.split(self.path)
        os.makedirs(folder or ".", exist_ok=True)  # noqa: PTH103
        made = os.path.join(folder, f".{name}.{os.urandom(6).hex()}")  # noqa: PTH118
        try:
            with open(made, mode, **how) as file:  # noqa: PTH123
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, self.path)  # noqa: PTH105
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(made)  # noqa: PTH108
            raise


@dataclass(frozen=True, slots=True)
class TableTarget:
    """An update of a table, known by a row in `marks`, written in the transaction of the update itself.

    Works with any module of the DB-API (PEP 249): sqlite3, duckdb, psycopg, and their like.
    """

    connect: Callable[[], Any] = field(repr=False)
    """Opens a connection."""
    table: str
    update: str
    """Which update of it, such as a date."""
    marks: str = "headway_targets"
    """Name of the table of marks. It is made when it is not there."""

    def __post_init__(self) -> None:
        if not all(part.isidentifier() for part in self.marks.split(".")):
            raise InvalidOption(f"marks must be the name of a table, not {self.marks!r}")

    def exists(self) -> bool:
        """Whether the update is marked."""
        connection = self.connect()
        try:
            cursor = connection.cursor()
            self._prepare(cursor)
            mark = _mark(connection)
            cursor.execute(
                f"SELECT 1 FROM {self.marks} WHERE target = {mark} AND made = {mark}",  # noqa: S608 - an identifier, checked
                (self.table, self.update),
            )
            found = cursor.fetchone() is not None
            connection.commit()
            return found
        finally:
            connection.close()

    def mark(self, connection: Any) -> None:
        """Marks the update as made. Call it before you commit, on the connection that made it."""
        cursor = connection.cursor()
        self._prepare(cursor)
        mark = _mark(connection)
        cursor.execute(
            f"INSERT INTO {self.marks} (target, made) VALUES ({mark}, {mark})",  # noqa: S608 - an identifier, checked
            (self.table, self.update),
        )

    def _prepare(self, cursor: Any) -> None:
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {self.marks} (target varchar NOT NULL, made varchar NOT NULL, PRIMARY KEY (target, made))"
        )


def _mark(connection: Any) -> str:
    """How the connection's module marks a parameter."""
    package = type(connection).__module__.lstrip("_").partition(".")[0]
    style = getattr(sys.modules.get(package), "paramstyle", "qmark")
    return "%s" if style in {"format", "pyformat"} else "?"
