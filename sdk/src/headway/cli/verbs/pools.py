"""`headway pools ...`."""

import click

from headway.cli import text
from headway.cli.client import Client, Json
from headway.cli.moments import now
from headway.cli.output import Cell, json_option, print_json, print_table

_HEADS = ("name", "agents", "slots", "taken", "waiting", "permits", "created")


@click.group()
def pools() -> None:
    """List and create pools: sets of agents, and what they may send."""


@pools.command("ls")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@json_option
def list_pools(limit: int, output: str) -> None:
    """List pools by name."""
    found = list(Client.of_profile().pages("/pools", limit))
    if output == "json":
        print_json(found)
        return
    print_table(
        _HEADS, map(_row, found), empty="There is no pool yet. Make one: headway pools create NAME"
    )


@pools.command()
@click.argument("name")
@click.option(
    "--permit",
    "permits",
    multiple=True,
    help="A class of data that its agents may send; repeatable. Without it: id, timing, counter, error_class.",
)
@click.option(
    "--slots",
    type=click.IntRange(0),
    default=0,
    help="Most runs at once; 0: as many as its agents have.",
)
@json_option
def create(name: str, permits: tuple[str, ...], slots: int, output: str) -> None:
    """Create a pool."""
    body: Json = {"name": name, "slots": slots}
    if permits:
        body["permits"] = list(permits)
    made = Client.of_profile().post("/pools", body)
    if output == "json":
        print_json(made)
        return
    print_table(_HEADS, [_row(made)], empty="")
    click.echo(f"Next: headway agents token {name}", err=True)


def _row(pool: Json) -> list[Cell]:
    return [
        pool["name"],
        str(pool["agents"]),
        str(pool["slots"]) if pool["slots"] else f"{pool['agent_slots']} (agents')",
        str(pool["slots_taken"]),
        str(pool["waiting"]),
        " ".join(pool["permits"]) or "-",
        text.age(pool["created_at"], now()),
    ]
