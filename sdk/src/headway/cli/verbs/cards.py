"""What `headway runs show` prints of a run and of a sub-flow."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from headway.cli import run_text
from headway.cli.output import Cell, print_fields


def print_card(
    fields: Sequence[tuple[str, Cell]], error: Mapping[str, Any] | None, step: str
) -> None:
    """Fields, what was raised, and, beside them, the next step if there is one."""
    print_fields(fields)
    for line in run_text.error_lines(error):
        click.echo(line)
    if step:
        click.echo(f"Next: {step}", err=True)
