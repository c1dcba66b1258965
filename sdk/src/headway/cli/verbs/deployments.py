"""`headway deployments ...`."""

import click

from headway.cli import text
from headway.cli.client import Client, Json
from headway.cli.moments import now
from headway.cli.output import json_option, print_fields, print_json, print_table
from headway.cli.schema_text import kind_words
from headway.cli.verbs.deploy import run_command


@click.group()
def deployments() -> None:
    """List and show deployments."""


@deployments.command("ls")
@click.option("--flow", help="Of this flow alone.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@json_option
def list_deployments(flow: str | None, limit: int, output: str) -> None:
    """List deployments by name."""
    found = list(Client.of_profile().pages("/deployments", limit, flow=flow))
    if output == "json":
        print_json(found)
        return
    print_table(
        ("name", "flow", "pool", "environment", "entrypoint", "deployed"),
        [
            (
                each["name"],
                text.printable(each["flow"]),
                each["pool"]["name"],
                each["environment"],
                each["entrypoint"],
                text.age(each["deployed_at"], now()),
            )
            for each in found
        ],
        empty="There is no deployment yet. Make one: headway deploy MODULE:FLOW",
    )


@deployments.command()
@click.argument("deployment")
@json_option
def show(deployment: str, output: str) -> None:
    """Show a deployment (name or id) and what its runs take."""
    found = Client.of_profile().get(f"/deployments/{deployment}")
    if output == "json":
        print_json(found)
        return
    print_fields(
        [
            ("deployment", found["id"]),
            ("name", found["name"]),
            ("flow", text.printable(found["flow"])),
            *_flow_version(found),
            ("pool", found["pool"]["name"]),
            ("environment", found["environment"]),
            ("entrypoint", found["entrypoint"]),
            ("code", found["code_hash"][:16] or "-"),
            ("tags", ", ".join(map(text.printable, found["tags"])) or "-"),
            (
                "retries",
                f"{found['retries']} after {text.duration(found['retry_delay_ms'] * 1000)}"
                if found["retries"]
                else "none",
            ),
            ("on lost", found["on_lost"]),
            ("isolation", _isolation(found)),
            ("cancel grace", text.duration(found["cancel_grace_ms"] * 1000)),
            ("deployed", f"{found['deployed_at']}  ({text.age(found['deployed_at'], now())})"),
            ("version", str(found["version"])),
        ]
    )
    if found["description"]:
        click.echo(f"\n{text.printable(found['description'])}")
    lines = parameter_lines(found)
    if lines:
        click.echo("\nparameters")
        for line in lines:
            click.echo(f"  {line}")
    click.echo(f"\nNext: {run_command(found)}", err=True)


def _flow_version(found: Json) -> list[tuple[str, str]]:
    """Only where the flow says one; `version` alone counts the changes of the deployment."""
    version = found.get("flow_version")
    return [("flow version", text.printable(version))] if version else []


def _isolation(found: Json) -> str:
    if found.get("isolation", "process") != "reuse":
        return "process"
    return f"reuse, for at most {found['max_runs_per_process']:,} runs or {found['max_memory_mb']:,} MiB"


def parameter_lines(deployment: Json) -> list[str]:
    """One line a parameter: name, type, whether it must be given or what it is otherwise."""
    schema, defaults = deployment["parameter_schema"], deployment["defaults"]
    required = schema.get("required", [])
    rows = []
    for name, described in schema.get("properties", {}).items():
        otherwise = "required" if name in required and name not in defaults else ""
        if name in defaults:
            otherwise = f"default {defaults[name]!r}"
        rows.append((name, kind_words(described, schema.get("$defs")), text.printable(otherwise)))
    return text.columns(rows)
