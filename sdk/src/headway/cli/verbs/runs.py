"""`headway runs ...`: list, show, list tasks, follow, cancel, release, answer, resume, retry, rerun."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from headway.cli import run_text, subflow_text
from headway.cli.client import Client, Json
from headway.cli.moments import instant, now
from headway.cli.output import (
    is_terminal,
    json_option,
    print_json,
    print_json_line,
    print_table,
)
from headway.cli.progress import Watch
from headway.cli.text import STYLES
from headway.cli.verbs.bulk import FILTER_HELP, act_on_matching
from headway.cli.verbs.cards import print_card
from headway.cli.verbs.forks import plan, rerun, resume, retry
from headway.cli.verbs.metrics import metrics
from headway.cli.verbs.run import read_value
from headway.cli.verbs.subflows import flows, show_flow
from headway.cli.verbs.tasks import tasks
from headway.cli.waiting import stay

_STATES = (
    "scheduled", "pending", "running", "paused", "cancelling", "completed", "failed", "crashed", "cancelled",
)  # fmt: skip
assert set(_STATES) <= set(STYLES)


@click.group()
def runs() -> None:
    """List, show, follow, cancel, answer, resume runs.

    ID is the id of a run or any beginning of it that no other run has.
    """


@runs.command("ls")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(_STATES), help="Any of these. Repeatable."
)
@click.option("--deployment", help="Name or id.")
@click.option("--flow")
@click.option("--tag", "tags", multiple=True, help="All of these. Repeatable.")
@click.option("-q", "--search", help="Text in the name or the flow.")
@click.option("--since", help="Made at or after: 2026-11-22T08:00Z, or 30m, 24h, 7d ago.")
@click.option("--until", help="Made before, written like --since.")
@click.option("--parent", help="Started by this run: its id or a beginning.")
@click.option("--subflows", is_flag=True, help="Also sub-flows, the first 100 of each run.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_option
def list_runs(
    *,
    states: tuple[str, ...],
    tags: tuple[str, ...],
    subflows: bool,
    limit: int,
    output: str,
    **filters: Any,
) -> None:
    """List runs, newest first."""
    client = Client.of_profile()
    found = list(
        client.pages(
            "/runs",
            limit,
            state=list(states),
            tag=list(tags),
            deployment=filters["deployment"],
            flow=filters["flow"],
            q=filters["search"],
            since=instant(filters["since"]),
            until=instant(filters["until"]),
            parent=client.find_run(filters["parent"]) if filters["parent"] else None,
            subflows="true" if subflows else None,
        )
    )
    if output == "json":
        print_json(found)
        return
    filtered = any((states, tags, *filters.values()))
    empty = (
        "No run matches. Leave out a filter to see more."
        if filtered
        else "There is no run yet. Start one: headway run DEPLOYMENT"
    )
    rows = subflow_text.listed_rows if subflows else run_text.rows
    print_table(run_text.HEADS, rows(found, now()), empty=empty)


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--flow", "call", help="Its sub-flow of this call, or of any beginning of the key.")
@json_option
def show(run_id: str, call: str | None, output: str) -> None:
    """Show a run: state, reason, parameters, error or result."""
    client = Client.of_profile()
    if call:
        show_flow(client, client.find_run(run_id), call, output)
        return
    run = client.get(f"/runs/{client.find_run(run_id)}")
    if output == "json":
        print_json(run)
        return
    print_card(run_text.card(run, now()), run["error"], run_text.next_step(run))


@runs.command(short_help="Show a run's progress until its end.")
@click.argument("run_id", metavar="ID")
@click.option("--timeout", type=click.FloatRange(min=0), help="Most seconds to wait.")
@json_option
def watch(run_id: str, timeout: float | None, output: str) -> None:
    """Show a run's progress until its end; Ctrl-C leaves the run alone.

    The exit code tells how it went: 0 completed, 10 failed, 11 crashed, 12 cancelled, 13 timed out.
    """
    client = Client.of_profile()
    run = client.get(f"/runs/{client.find_run(run_id)}")
    sys.exit(stay(client, run, output, watch=True, timeout=timeout))


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--attempt", type=click.IntRange(1), help="The newest if left out.")
@click.option(
    "--level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
    help="Least severe.",
)
@click.option("-q", "--search", help="Text in the line.")
@click.option("--call", help="Of this call and what it called: its key, or any beginning of it.")
@json_option
def logs(run_id: str, follow: bool, output: str, **filters: Any) -> None:
    """Print the lines of a run's output."""
    client = Client.of_profile()
    found = client.find_run(run_id)
    if follow and filters["call"]:
        raise click.UsageError("--follow shows the lines of the whole run: leave out --call.")
    lines = _follow(client, found) if follow else _read(client, found, filters)
    printed = False
    for line in lines:
        printed = True
        if output == "json":
            print_json_line(line)
        else:
            click.echo(run_text.log_line(line))
    if not printed:
        click.echo(
            "No lines. The pool may keep them with the agent (its permits lack `log`).", err=True
        )


@runs.command()
@click.argument("run_ids", metavar="ID...", nargs=-1)
@click.option("--filter", "matching", help=FILTER_HELP)
@click.option("--preview", is_flag=True, help="With --filter: say how many, and stop there.")
@click.option("-y", "--yes", is_flag=True, help="With --filter: do not ask.")
@click.option("--reason", default="", help="Kept in the log.")
@json_option
def cancel(
    *,
    run_ids: tuple[str, ...],
    matching: str | None,
    preview: bool,
    yes: bool,
    reason: str,
    output: str,
) -> None:
    """Ask for the end of runs. What is running is told to stop, then made to."""
    if bool(run_ids) == (matching is not None):
        raise click.UsageError("Name runs by their ids, or all that match with --filter.")
    if matching is None:
        _each(run_ids, "cancel", output, {"reason": reason})
        return
    client = Client.of_profile()
    act_on_matching(
        client, "cancel", matching, yes=yes, preview=preview, reason=reason, output=output
    )


@runs.command()
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--anywhere",
    is_flag=True,
    help="Also without the agent that has the journal: any agent may take it and executes everything again.",
)
@click.option("-y", "--yes", is_flag=True, help="With --anywhere: do not ask.")
@json_option
def release(run_ids: tuple[str, ...], anywhere: bool, yes: bool, output: str) -> None:
    """Let paused runs go on.

    With --anywhere it is said first what is executed again, and in a terminal you are asked.
    """
    client = Client.of_profile()
    ids = tuple(client.find_run(each) for each in run_ids)
    if anywhere and not _agreed(client, ids, yes=yes):
        return
    _each(ids, "release", output, {"anywhere": anywhere})


def _agreed(client: Client, ids: tuple[str, ...], *, yes: bool) -> bool:
    """Whether these runs may go on without their journals; said in any case."""
    at_home = [run for each in ids if (run := client.get(f"/runs/{each}"))["home"]]
    for run in at_home:
        click.echo(run_text.without_journal(run), err=True)
    if yes or not at_home or not _asks():
        return True
    return click.confirm("Release?", default=False, err=True)


@runs.command("input", short_help="Answer what a run asks, or show what it asks.")
@click.argument("run_id", metavar="ID")
@click.argument("given", metavar="[VALUE]", required=False)
@click.option("--name", default="", help="Which question, if there are several.")
@click.option("--value", help="The answer as JSON, in the place of VALUE.")
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A field of the answer; the value is read as JSON, else as text. Repeatable.",
)
@json_option
def answer(
    run_id: str,
    given: str | None,
    name: str,
    value: str | None,
    params: tuple[str, ...],
    output: str,
) -> None:
    """Answer what a suspended run asks with VALUE, which is JSON; without an answer, show the question."""
    if given is not None and value is not None:
        raise click.UsageError("the answer is there twice: as VALUE and as --value.")
    value = given if value is None else value
    client = Client.of_profile()
    found = client.find_run(run_id)
    if value is None and not params:
        _ask(client.get(f"/runs/{found}"), output)
        return
    body = {"name": name, "value": read_value(value, params)}
    _show_changed([client.post(f"/runs/{found}/input", body)], output)


def _ask(run: Json, output: str) -> None:
    asked = [wait for wait in run["waits"] if wait["kind"] == "input"]
    if output == "json":
        print_json(asked)
        return
    if not asked:
        click.echo("The run asks for nothing.", err=True)
    for wait in asked:
        click.echo(run_text.question(wait))


for verb in (resume, retry, rerun, plan, flows, metrics, tasks):
    runs.add_command(verb)


def _asks() -> bool:
    return is_terminal() and sys.stdin.isatty()


def _each(run_ids: tuple[str, ...], action: str, output: str, body: Json | None) -> None:
    client = Client.of_profile()
    changed = [client.post(f"/runs/{client.find_run(each)}/{action}", body) for each in run_ids]
    _show_changed(changed, output)


def _show_changed(changed: list[Json], output: str) -> None:
    if output == "json":
        print_json(changed)
        return
    print_table(run_text.HEADS, run_text.rows(changed, now()), empty="")


def _read(client: Client, run_id: str, filters: dict[str, Any]) -> Iterator[Json]:
    after = 0
    while True:
        page = client.get(
            f"/runs/{run_id}/logs",
            after_line=after,
            limit=1000,
            attempt=filters["attempt"],
            level=filters["level"],
            q=filters["search"],
            call=filters["call"],
        )
        yield from page["lines"]
        after = page["last_line"]
        if not page["more"]:
            return


def _follow(client: Client, run_id: str) -> Iterator[Json]:
    run = client.get(f"/runs/{run_id}")
    for snapshot in Watch(client, run, timeout=None, calls=False):
        yield from snapshot.new_lines
