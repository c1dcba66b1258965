"""`headway variables ...`."""

import json
import sys
from typing import Any
from urllib.parse import quote

import click

from headway.cli import text
from headway.cli.client import Client, Json
from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.moments import now
from headway.cli.output import Cell, json_option, print_json, print_table

_HEADS = ("name", "value", "tags", "version", "set")
_SHOWN = 60

if_version = click.option(
    "--if-version",
    type=click.IntRange(0),
    help="Only if the variable has this version now (see `variables ls`; the number grows with each change of any variable); 0: only if it is not there yet.",
)


@click.group()
def variables() -> None:
    """List, show, set and unset variables: JSON values that runs are given. They are no place for secrets."""


@variables.command("ls")
@click.option("--tag", help="Those with this tag alone.")
@click.option("--prefix", help="Those whose name begins so.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@json_option
def list_variables(tag: str | None, prefix: str | None, limit: int, output: str) -> None:
    """List variables by name."""
    found = list(Client.of_profile().pages("/variables", limit, tag=tag, prefix=prefix))
    if output == "json":
        print_json(found)
        return
    print_table(
        _HEADS,
        map(_row, found),
        empty="There is no variable yet. Set one: headway variables set NAME VALUE",
    )


@variables.command("get")
@click.argument("name")
@json_option
def get(name: str, output: str) -> None:
    """Print a variable's value as JSON; with --output json all that is known of it."""
    found = Client.of_profile().get(_path(name))
    print_json(found if output == "json" else found["value"])


@variables.command("set")
@click.argument("name")
@click.argument("value")
@click.option("--tag", "tags", multiple=True, help="Repeatable. The tags are replaced as well.")
@click.option(
    "--text", "is_text", is_flag=True, help="Take VALUE as a string, whatever it looks like."
)
@if_version
@json_option
def set_(
    name: str, value: str, tags: tuple[str, ...], is_text: bool, if_version: int | None, output: str
) -> None:
    """Set NAME to VALUE, which is JSON, or a string where it is none; `-` reads it from standard input."""
    body: Json = {"name": name, "value": _value(value, is_text=is_text), "tags": list(tags)}
    if if_version is not None:
        body["if_version"] = if_version
    made = Client.of_profile().post("/variables", body)
    if output == "json":
        print_json(made)
    else:
        print_table(_HEADS, [_row(made)], empty="")


@variables.command("unset")
@click.argument("name")
@click.option("--if-version", type=click.IntRange(1), help="Only if it has this version now.")
def unset(name: str, if_version: int | None) -> None:
    """Take a variable away."""
    Client.of_profile().delete(_path(name), if_version=if_version)
    click.echo(f"{name} is unset.")


@variables.command("history")
@click.argument("name")
@click.option("-n", "--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@json_option
def history(name: str, limit: int, output: str) -> None:
    """Show who set NAME, and to what: people and runs; and what was refused to runs."""
    found = Client.of_profile().get(f"{_path(name)}/history", limit=limit)["items"]
    if output == "json":
        print_json(found)
        return
    print_table(
        ("when", "change", "value", "by"),
        map(_change, found),
        empty="",
    )


def _path(name: str) -> str:
    return f"/variables/{quote(name, safe='')}"


def _value(given: str, *, is_text: bool) -> Any:
    content = sys.stdin.read() if given == "-" else given
    if is_text:
        return content
    try:
        return json.loads(content)
    except ValueError:
        if content.lstrip()[:1] in ("{", "[", '"'):
            raise CommandError(
                "VALUE begins like JSON and is none.",
                hint="Mend it, or say that it is a string: --text",
                code=Exit.USAGE,
            ) from None
        return content


def _change(change: Json) -> list[Cell]:
    value = "(erased)" if change["erased"] else json.dumps(change["value"], ensure_ascii=False)
    shown = value if change["kind"] == "set" else change["reason"] or "-"
    return [
        text.age(change["at"], now()),
        change["kind"],
        shown if change["reason"] else _cut(shown),
        change["actor"],
    ]


def _cut(shown: str) -> str:
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."


def _row(variable: Json) -> list[Cell]:
    shown = "(erased)" if variable["erased"] else json.dumps(variable["value"], ensure_ascii=False)
    return [
        variable["name"],
        _cut(shown),
        " ".join(variable["tags"]) or "-",
        str(variable["version"]),
        text.age(variable["set_at"], now()),
    ]
