"""`headway runs flows`: the sub-flows of a run; and the card of one, which `headway runs show --flow` prints."""

import click

from headway.cli import subflow_text
from headway.cli.client import Client
from headway.cli.moments import now
from headway.cli.output import json_option, print_json, print_table
from headway.cli.text import CALL_STATES
from headway.cli.verbs.attempts import hint_at_others
from headway.cli.verbs.cards import print_card


@click.command(short_help="List the sub-flows of a run.")
@click.argument("run_id", metavar="ID")
@click.option(
    "--state",
    "statuses",
    multiple=True,
    type=click.Choice(CALL_STATES),
    help="Any of these. Repeatable.",
)
@click.option("--attempt", type=click.IntRange(1), help="The newest if left out.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@json_option
def flows(
    run_id: str, statuses: tuple[str, ...], attempt: int | None, limit: int, output: str
) -> None:
    """List the sub-flows of a run, in the order in which they were heard of."""
    client = Client.of_profile()
    run = client.find_run(run_id)
    given = {"attempt": attempt, "status": list(statuses)}
    found = list(client.pages(f"/runs/{run}/flows", limit, place="after", **given))
    if output == "json":
        print_json(found)
        return
    print_table(
        subflow_text.HEADS,
        subflow_text.rows(found, now()),
        empty="This attempt called no sub-flow.",
    )
    if attempt is None:
        hint_at_others(client, run)


def show_flow(client: Client, run: str, call: str, output: str) -> None:
    """Print what is known of one sub-flow."""
    flow = client.get(f"/runs/{run}/flows/{call}")
    if output == "json":
        print_json(flow)
        return
    print_card(subflow_text.card(flow, now()), flow["error"], subflow_text.next_step(flow))
