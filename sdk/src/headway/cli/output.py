"""How verbs print: colours and tables on a terminal, aligned plain lines in a pipe, JSON when asked for."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from headway.cli import text
from headway.cli.settings import speaks_unicode

_BEYOND_ASCII = re.compile(r"[^\n -~]")
Function = TypeVar("Function", bound=Callable[..., Any])

json_option: Callable[[Function], Function] = click.option(
    "-o",
    "--output",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)


@dataclass(frozen=True, slots=True)
class State:
    """A cell that shows a state: glyph and word, coloured on a terminal."""

    name: str

    @property
    def plain(self) -> str:
        return self.name


Cell = str | State


def is_terminal() -> bool:
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    click.echo(_harmless_json(json.dumps(value, indent=2, ensure_ascii=False)))


def print_json_line(value: Any) -> None:
    click.echo(_harmless_json(json.dumps(value, ensure_ascii=False)))
    sys.stdout.flush()


def _harmless_json(encoded: str) -> str:
    """The same value without characters that steer a terminal: all of them stand within strings."""
    return _BEYOND_ASCII.sub(
        lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], encoded
    )


def print_table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], *, empty: str) -> None:
    """Print rows under heads; what to do when there are none goes to stderr, so that pipes stay clean."""
    listed = list(rows)
    if not listed:
        click.echo(empty, err=True)
    elif is_terminal():
        _print_rich_table(heads, listed)
    else:
        plain = [[_plain(cell) for cell in row] for row in listed]
        for line in text.columns([[text.printable(head.upper()) for head in heads], *plain]):
            click.echo(line)


def print_fields(fields: Sequence[tuple[str, Cell]]) -> None:
    """Print what a thing is, one field a line."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        shown = styled(value) if is_terminal() else _plain(value)
        click.echo(f"{name.ljust(width)}  {shown}")


def styled(cell: Cell) -> str:
    """Return a cell with ANSI colours."""
    if isinstance(cell, str):
        return _plain(cell)
    return click.style(with_glyph(cell.name), fg=text.STYLES.get(cell.name))


def with_glyph(state: str) -> str:
    glyph = text.GLYPHS.get(state, "") if speaks_unicode() else ""
    return f"{glyph} {state}".lstrip()


def _plain(cell: Cell) -> str:
    """What users and their flows chose steers no terminal, whichever verb shows it."""
    if not isinstance(cell, str):
        return cell.plain
    return cell if cell.isprintable() else "\n".join(map(text.printable, cell.split("\n")))


def _print_rich_table(heads: Sequence[str], rows: list[Sequence[Cell]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for number, head in enumerate(heads):
        # The first column is what people copy; the last one takes what room is left.
        table.add_column(
            text.printable(head), no_wrap=True, overflow="ellipsis" if number else "fold"
        )
    for row in rows:
        table.add_row(
            *(
                Text(_plain(cell))
                if isinstance(cell, str)
                else Text(with_glyph(cell.name), style=text.STYLES.get(cell.name, ""))
                for cell in row
            )
        )
    Console().print(table)
