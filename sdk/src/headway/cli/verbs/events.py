"""`headway events ...`: the log."""

import click

from headway.cli import text
from headway.cli.client import Client, Json
from headway.cli.errors import CommandError
from headway.cli.output import json_option, print_json, print_json_line
from headway.cli.sse import Follow
from headway.cli.verbs.run import read_value

_NEWEST = 50


@click.group()
def events() -> None:
    """Read and follow the log: gapless, in order, from any cursor."""


@events.command(short_help="Print the newest events; -f follows.")
@click.option("--after", default="", help="Begin behind this cursor (1:42; 0:0 is the beginning).")
@click.option("--run", "run_id", default="", help="Of this run and its attempts alone.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@json_option
def tail(after: str, run_id: str, follow: bool, output: str) -> None:
    """Print events, the newest 50 unless --after or --run says where to begin.

    With -o json each line is one event; the last line's `cursor` goes into --after to go on without gap.
    """
    client = Client.of_profile()
    run = client.find_run(run_id) if run_id else ""
    cursor = _print_stored(client, after, run, output)
    if follow:
        _follow(client, cursor, run, output)


@events.command()
@click.argument("name")
@click.option("--key", default="", help="Tells events of one name apart.")
@click.option("--value", help="Its value as JSON.")
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A field of its value; read as JSON, else as text. Repeatable.",
)
@json_option
def emit(name: str, key: str, value: str | None, params: tuple[str, ...], output: str) -> None:
    """Send an event NAME to the runs that wait for it, and print their ids.

    It is not kept: exit code 1 says that nobody waited.
    """
    body = {"name": name, "key": key, "value": read_value(value, params)}
    reached = Client.of_profile().post("/events", body)["runs"]
    if output == "json":
        print_json({"runs": reached})
    for run in reached if output != "json" else ():
        click.echo(run)
    if not reached:
        raise CommandError(
            "No run waits for this event; it was not kept.", hint="headway runs ls --state paused"
        )


def _print_stored(client: Client, after: str, run: str, output: str) -> str:
    if not after and not run:
        page = client.get("/events", newest=True, limit=_NEWEST)
        for event in page["items"]:
            _print(event, output)
        return str(page["next"])
    while True:
        page = client.get("/events", after=after or "0:0", run=run, limit=500)
        for event in page["items"]:
            _print(event, output)
        after = page["next"]
        if not page["items"]:
            return after


def _follow(client: Client, cursor: str, run: str, output: str) -> None:
    def tell(connected: bool) -> None:
        click.echo("Connected again." if connected else "Connection lost, trying again.", err=True)

    try:
        for frame in Follow(client, after=cursor, run=run, on_connection=tell):
            if frame.kind == "message":
                _print(frame.data, output)
            elif frame.kind == "reset":
                click.echo(f"The log begins anew: {frame.data['hint']}", err=True)
    except KeyboardInterrupt:
        return


def _print(event: Json, output: str) -> None:
    if output == "json":
        print_json_line(event)
    else:
        click.echo(text.event_line(event))
