"""`headway run DEPLOYMENT`: start a run, and if asked, stay with it."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from headway.cli.client import Client
from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.output import is_terminal, json_option, print_json
from headway.cli.waiting import stay


@click.command("run")
@click.argument("deployment")
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter; the value is read as JSON, else as text. Repeatable.",
)
@click.option(
    "--params-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A JSON object of parameters; - reads standard input. --param wins over it.",
)
@click.option("--name", default="", help="A name for people.")
@click.option("--tag", "tags", multiple=True, help="Repeatable.")
@click.option(
    "--priority", type=click.IntRange(1, 5), default=3, show_default=True, help="1 is first."
)
@click.option("--due", "due_at", help="Not before this instant, for example 2026-11-22T08:00:00Z.")
@click.option("--idempotency-key", help="The same key within 24 h gives the same run.")
@click.option("--watch", is_flag=True, help="Show its progress and wait for its end.")
@click.option("--wait", is_flag=True, help="Wait for its end; the exit code tells how it went.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    help="Most seconds to wait; the run goes on after them.",
)
@json_option
def run(
    deployment: str,
    params: tuple[str, ...],
    params_file: Path | None,
    due_at: str | None,
    idempotency_key: str | None,
    output: str,
    **options: Any,
) -> None:
    """Start a run of DEPLOYMENT (name or id).

    With --watch or --wait the exit code tells how it went: 0 completed, 10 failed, 11 crashed, 12 cancelled, 13 timed out.
    Ctrl-C leaves the run alone.
    """
    client = Client.of_profile()
    body = {
        "deployment": deployment,
        "parameters": _from_file(params_file) | dict(map(parse_parameter, params)),
        "name": options["name"],
        "tags": list(options["tags"]),
        "priority": options["priority"],
    }
    if due_at:
        body["due_at"] = due_at
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    made = client.post("/runs", body, **headers)
    if options["watch"] or options["wait"]:
        sys.exit(stay(client, made, output, watch=options["watch"], timeout=options["timeout"]))
    if output == "json":
        print_json(made)
    elif is_terminal():
        click.echo(f"{made['name']} of {made['deployment']['name']} was accepted: {made['id']}")
        click.echo(f"Next: headway runs watch {made['id']}")
    else:
        click.echo(made["id"])


def parse_parameter(text: str) -> tuple[str, Any]:
    """Read `name=value`: 3, true, null, [1], {"a": 1} and "3" are JSON, everything else is text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def read_value(value: str | None, params: tuple[str, ...]) -> Any:
    """Read a value that is given whole as JSON, or field by field; None for neither."""
    if value is None:
        return dict(map(parse_parameter, params)) or None
    if params:
        raise CommandError(
            "Give the value either whole (--value) or field by field (-p).", code=Exit.USAGE
        )
    try:
        return json.loads(value)
    except ValueError:
        raise CommandError(
            f"--value is no JSON: {value[:60]!r}.",
            hint="Texts stand in double quotes, for example --value '\"eu\"'.",
            code=Exit.USAGE,
        ) from None


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        read = json.loads(
            sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        )
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read as JSON: {error}.", code=Exit.USAGE) from error
    if not isinstance(read, dict):
        raise CommandError(f"{path} must hold a JSON object of parameters.", code=Exit.USAGE)
    return read
