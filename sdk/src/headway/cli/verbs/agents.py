"""`headway agents ...`."""

import click

from headway.cli import text
from headway.cli.client import Client
from headway.cli.moments import now
from headway.cli.output import State, is_terminal, json_option, print_json, print_table


@click.group()
def agents() -> None:
    """List agents, make tokens to enrol them. An agent itself is run by `headway agent`."""


@agents.command("ls")
@click.option("--pool", help="Of this pool alone.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@json_option
def list_agents(pool: str | None, limit: int, output: str) -> None:
    """List agents, last enrolled first."""
    found = list(Client.of_profile().pages("/agents", limit, pool=pool))
    if output == "json":
        print_json(found)
        return
    print_table(
        ("agent", "status", "pool", "held/slots", "host", "version", "since"),
        [
            (
                text.printable(each["name"]),
                State(each["status"]),
                each["pool"]["name"],
                f"{each['held']}/{each['slots']}",
                text.printable(each["host"]) or "-",
                text.printable(each["agent_version"]) or "-",
                text.age(each["lost_at"] or each["connected_since"] or each["enrolled_at"], now()),
            )
            for each in found
        ],
        empty="There is no agent yet. Make a token for one: headway agents token POOL",
    )


@agents.command()
@click.argument("pool")
@json_option
def token(pool: str, output: str) -> None:
    """Make a token that enrols one agent into POOL, within the hour."""
    made = Client.of_profile().post("/enrolment-tokens", {"pool": pool})
    if output == "json":
        print_json(made)
        return
    click.echo(made["token"])
    if is_terminal():
        click.echo("Shown this once, good for one agent and one hour.", err=True)
        click.echo("Next, where the agent shall run: headway agent enrol --token-file -", err=True)
