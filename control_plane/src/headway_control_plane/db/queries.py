"""Named SQL: statements live in .sql files, each with a name and a line that says what it is for."""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import LiteralString

_NAME = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)


class BrokenQueryFile(Exception):
    """A query file breaks the format; this is a mistake in the code, found when it is imported."""


def load_queries(package: str, file: str = "queries.sql") -> Mapping[str, LiteralString]:
    """Return the statements of a query file in a package by name."""
    return parse_queries(
        files(package).joinpath(file).read_text(encoding="utf-8"), source=f"{package}/{file}"
    )


def parse_queries(text: str, *, source: str) -> Mapping[str, LiteralString]:
    """Split `-- name: x`, a purpose line, a statement; whatever stands before the first name is a header comment."""
    pieces = _NAME.split(text)
    queries: dict[str, LiteralString] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if name in queries:
            raise BrokenQueryFile(f"{source}: the name {name} is used twice")
        queries[name] = _statement(name, body, source=source)
    return queries


def _statement(name: str, body: str, *, source: str) -> LiteralString:
    purpose, _, statement = body.strip().partition("\n")
    if not purpose.startswith("-- "):
        raise BrokenQueryFile(
            f"{source}: {name} has no purpose line (a comment right below its name)"
        )
    if not statement.strip():
        raise BrokenQueryFile(f"{source}: {name} has no statement")
    # The files are part of the code, so their text is as trusted as a literal in it.
    return statement.strip()
