"""`headway artifacts ...`: what runs left for people to look at."""

import json
from collections.abc import Sequence
from typing import Any

import click

from headway.cli import run_text, text
from headway.cli.client import Client, Json
from headway.cli.errors import CommandError
from headway.cli.moments import now
from headway.cli.output import Cell, json_option, print_fields, print_json, print_table

_KINDS = ("markdown", "table", "link", "image", "progress")
_HEADS = ("key", "version", "kind", "saved", "run", "what")
_RUN_HEADS = ("id", "kind", "key", "version", "saved", "what")
_WITHHELD = "Withheld by the pool: its permits do not name `artifact`, so the content stayed in your network."
_limit = click.option(
    "-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True
)


@click.group()
def artifacts() -> None:
    """List and show artifacts: texts, tables, links, images and progress that runs saved."""


@artifacts.command("ls")
@click.option("--run", "run_id", default="", help="All that this run saved, also without a key.")
@click.option("--kind", type=click.Choice(_KINDS))
@click.option("--prefix", default="", help="Keys that begin like this.")
@_limit
@json_option
def list_artifacts(run_id: str, kind: str | None, prefix: str, limit: int, output: str) -> None:
    """List the newest artifact of each key, by key."""
    client = Client.of_profile()
    run = client.find_run(run_id) if run_id else None
    found = list(client.pages("/artifacts", limit, run=run, kind=kind, prefix=prefix))
    if output == "json":
        print_json(found)
        return
    print_table(
        _RUN_HEADS if run else _HEADS,
        map(_of_run, found) if run else _of_keys(found),
        empty="There is no artifact. A flow saves one with: headway.artifacts.markdown(text, key=...)",
    )


@artifacts.command()
@click.argument("key")
@_limit
@json_option
def history(key: str, limit: int, output: str) -> None:
    """List the versions of KEY, the newest first."""
    found = list(Client.of_profile().pages(f"/artifacts/{text.path_part(key)}/versions", limit))
    if output == "json":
        print_json(found)
        return
    print_table(_HEADS, _of_keys(found), empty="")


@artifacts.command()
@click.argument("key")
@click.option(
    "--version", type=click.IntRange(1), help="Which version of the key; the newest without it."
)
@click.option("--run", "run_id", default="", help="KEY is the id of an artifact of this run.")
@json_option
def show(key: str, version: int | None, run_id: str, output: str) -> None:
    """Print an artifact: the newest of KEY, or another version of it."""
    client = Client.of_profile()
    run, artifact = _chosen(client, key, version, run_id)
    found = client.get(f"/runs/{run}/artifacts/{artifact}")
    if output == "json":
        print_json(found)
        return
    _print(found)


def _chosen(client: Client, key: str, version: int | None, run_id: str) -> tuple[str, str]:
    if run_id:
        return client.find_run(run_id), text.path_part(key)
    for one in client.pages(f"/artifacts/{text.path_part(key)}/versions", 10_000):
        if version is None or one["version"] == version:
            return one["run"], one["id"]
    raise CommandError(f"{key} has no version {version}.", hint=f"headway artifacts history {key}")


def _print(found: Json) -> None:
    title = found["key"] and f"{found['key']}  version {found['version']}"
    fields: list[tuple[str, Cell]] = [("artifact", title or found["id"]), ("kind", found["kind"])]
    fields += [("run", found["run"]), ("saved", found["saved_at"])]
    if found["description"]:
        fields.append(("description", text.printable(found["description"])))
    if found["percent"] is not None:
        fields.append(("percent", f"{found['percent']:g}"))
    print_fields(fields)
    if found["withheld"]:
        click.echo(_WITHHELD, err=True)
    elif found["erased"]:
        click.echo("The content was erased.", err=True)
    elif found["content"] is not None:
        click.echo()
        _print_content(found["kind"], found["content"])
    elif found["kind"] == "image":
        click.echo("Look at it on the run's page.", err=True)


def _print_content(kind: str, content: Any) -> None:
    if kind == "table" and isinstance(content, dict) and "columns" in content:
        rows = [[_cell(cell) for cell in row] for row in content["rows"]]
        print_table(
            [_cell(name) for name in content["columns"]], rows, empty="The table has no rows."
        )
    elif isinstance(content, dict):
        click.echo(text.printable("  ".join(str(word) for word in content.values() if word)))
    else:
        lines = content.splitlines() if isinstance(content, str) else [json.dumps(content)]
        for line in lines:
            click.echo(text.printable(line))


def _cell(value: Any) -> str:
    return "" if value is None else text.printable(" ".join(str(value).split()))


def _of_keys(found: Sequence[Json]) -> list[list[Cell]]:
    runs = run_text.shorten([one["run"] for one in found])
    return [
        [one["key"], str(one["version"]), one["kind"], _saved(one), run, _what(one)]
        for one, run in zip(found, runs, strict=True)
    ]


def _of_run(one: Json) -> list[Cell]:
    version = str(one["version"]) if one["version"] else ""
    return [one["id"], one["kind"], one["key"], version, _saved(one), _what(one)]


def _saved(one: Json) -> str:
    return text.age(one["saved_at"], now())


def _what(one: Json) -> str:
    if one["withheld"]:
        return "withheld by the pool"
    if one["percent"] is not None:
        return f"{one['percent']:g} %  {one['description']}".rstrip()
    return text.printable(one["description"])
