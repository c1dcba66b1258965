"""What a verb can end with, other than well."""

from collections.abc import Sequence
from typing import IO, Any

import click

from headway.cli.exits import Exit


class CommandError(click.ClickException):
    """Told to the person: what happened, each problem, and the next step."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        problems: Sequence[tuple[str, str]] = (),
        code: Exit = Exit.ERROR,
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.problems = tuple(problems)
        # click declares it for classes and reads it from instances.
        self.exit_code = int(code)  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        err = file is None
        click.secho(f"Error: {self.message}", fg="red", err=err, file=file)
        for path, problem in self.problems:
            click.echo(f"  {click.style(path, bold=True)} {problem}", err=err, file=file)
        if self.hint:
            click.echo(f"Next: {self.hint}", err=err, file=file)
