"""`headway runs tasks`: what an attempt called, one by one, or range by range where a map was reported so."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from headway.cli.client import Client, Json
from headway.cli.moments import now
from headway.cli.output import Cell, State, json_option, print_json, print_table
from headway.cli.text import CALL_STATES, age, duration, parse_time, printable
from headway.cli.verbs.attempts import hint_at_others

_HEADS = ("call", "state", "task", "started", "took", "note")
_KEY = 12  # digits that tell calls apart
_NOT_EXECUTED = {"cached": "from the cache", "target": "what it makes is there"}
_KEPT = "kept from an earlier attempt or run"


@click.command(short_help="List the tasks that a run called.")
@click.argument("run_id", metavar="ID")
@click.option("--attempt", type=click.IntRange(1), help="The newest if left out.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(CALL_STATES),
    help="Any of these. Repeatable.",
)
@click.option("--task", help="Calls of this task.")
@click.option(
    "--calls", "of", metavar="CALL", help="The single calls of the line that begins with this key."
)
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@json_option
def tasks(run_id: str, of: str | None, limit: int, output: str, **filters: Any) -> None:
    """List the tasks that a run called, in the order in which they were heard of.

    Quick calls of one name that all completed are one line, `load x 1,000`; --calls lists them, with their keys.
    """
    client = Client.of_profile()
    run = client.find_run(run_id)
    path = f"/runs/{run}/tasks"
    given = {"attempt": filters["attempt"]}
    wanted = given | {"status": list(filters["states"]), "name": filters["task"]}
    if of is None:
        found = list(client.pages(path, limit, place="after", **wanted))
        rows = [_row(call, now()) for call in found]
    else:
        item = _find(client, path, of, wanted)
        found = list(client.pages(f"{path}/{item['call']}/calls", limit, place="after", **given))
        rows = [
            _row({**item, **call, "calls": 1, "median_us": None}, now(), whole=True)
            for call in found
        ]
    if output == "json":
        print_json(found)
        return
    print_table(_HEADS, rows, empty="No task was called, or none matches.")
    if filters["attempt"] is None:
        hint_at_others(client, run)


def _find(client: Client, path: str, start: str, wanted: Mapping[str, Any]) -> Json:
    """The range whose first call's key begins so."""
    for item in client.pages(path, 100_000, place="after", **wanted):
        if item["call"].startswith(start) and item["calls"] > 1:
            return item
    raise click.UsageError(
        f"no line of several calls begins with the key {start!r}; the list without --calls has the keys."
    )


def _row(call: Mapping[str, Any], at: datetime, *, whole: bool = False) -> Sequence[Cell]:
    name = printable(call["run_name"] or call["name"]) or "(name withheld)"
    many = f" x {call['calls']:,}" if call["calls"] > 1 else ""
    return [
        call["call"] if whole else call["call"][:_KEY],
        State(call["status"]),
        f"{name}{many}",
        age(call["started_at"], at),
        duration(_took(call)),
        _note(call),
    ]


def _took(call: Mapping[str, Any]) -> int | None:
    if call["ended_at"] is None:
        return None
    took = parse_time(call["ended_at"]) - parse_time(call["started_at"])
    return round(took.total_seconds() * 1_000_000)


def _note(call: Mapping[str, Any]) -> str:
    said = [call["name"] if call["run_name"] else "", call["error_class"]]
    if call["status"] == "skipped":
        said.append(_NOT_EXECUTED.get((call["result"] or {}).get("from", ""), _KEPT))
    elif call["median_us"] is not None:
        said.append(f"each p50 {duration(call['median_us'])}, max {duration(call['longest_us'])}")
    if call["tries"] > 1:
        said.append(f"{call['tries']} tries")
    if call.get("refused"):
        said.append(f"refused: {call['refused']}")
    return ", ".join(printable(word) for word in said if word) or "-"
