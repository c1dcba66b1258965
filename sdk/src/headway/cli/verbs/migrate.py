"""`headway migrate prefect PATH`: what of a project maps to Headway, what differs, and what is missing."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import click

from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.output import json_option, print_json
from headway.compat.reader import Finding

_STATUSES = ("same", "differs", "missing", "unreadable")
_COLOURS = {"same": "green", "differs": "yellow", "missing": "red", "unreadable": "red"}


@click.group()
def migrate() -> None:
    """Come from another engine."""


@migrate.command(short_help="Read a Prefect project and say what maps.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--missing", "short", is_flag=True, help="Leave out what maps as it is.")
@click.option("--json", "as_json", is_flag=True, help="As --output json.")
@json_option
def prefect(path: Path, short: bool, as_json: bool, output: str) -> None:
    """Read the Python files and prefect.yaml in PATH, and say for each use of Prefect what it is in Headway.

    Nothing of the project is imported or executed, and nothing is changed.
    """
    try:
        from headway.cli.prefect_project import files_of, read_file  # noqa: PLC0415 - YAML is for this verb alone
    except ImportError:
        raise CommandError(
            "This command reads YAML, for which a package is missing.",
            hint="pip install --upgrade 'headway[cli]'",
        ) from None
    base = path if path.is_dir() else path.parent
    files = list(files_of(path))
    if not files:
        raise CommandError(f"{path} holds no Python file and no prefect.yaml.", code=Exit.USAGE)
    found = [one for file in files for one in read_file(file, file.relative_to(base).as_posix())]
    shown = [one for one in found if not short or one.status != "same"]
    if as_json or output == "json":
        print_json(
            {
                "files": len(files),
                "summary": _summary(found),
                "findings": [one._asdict() for one in shown],
            }
        )
    else:
        _print(shown, found, len(files))


def _summary(found: Iterable[Finding]) -> dict[str, int]:
    counted = Counter(one.status for one in found)
    return {status: counted[status] for status in _STATUSES}


def _print(shown: Sequence[Finding], found: Sequence[Finding], files: int) -> None:
    for file, findings in groupby(shown, key=lambda one: one.file):
        click.secho(_clean(file), bold=True)
        for one in findings:
            click.echo(_line(one))
    count = _summary(found)
    click.echo(
        f"{files} file(s) read: {count['same']} uses map, {count['differs']} differ, {count['missing']} are missing"
        + (f", {count['unreadable']} file(s) could not be read" if count["unreadable"] else "")
        + "."
    )
    if count["same"] + count["differs"]:
        click.echo("What maps or differs runs with: from headway.compat.prefect import ...")


def _line(one: Finding) -> str:
    status = click.style(one.status.ljust(10), fg=_COLOURS[one.status])
    ours = f" -> {one.ours}" if one.ours else ""
    note = f"  ({one.note})" if one.note else ""
    return f"  {one.line:>5}  {status} {one.group} {_clean(one.name)}{ours}{note}"


def _clean(text: str) -> str:
    """Names come from files of others: what would steer a terminal is shown as a question mark."""
    return "".join(each if each.isprintable() else "?" for each in text)
