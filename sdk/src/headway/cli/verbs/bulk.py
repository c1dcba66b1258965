"""One thing done to all runs that a filter finds: counted first, asked about, done in bounded batches."""

import sys
from collections.abc import Iterator, Sequence

import click

from headway.cli.client import Client, Json
from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.output import is_terminal, print_json
from headway.cli.text import printable

FILTER_HELP = (
    "All runs that match, instead of IDs: flow:NAME deployment:NAME tag:NAME state:STATE since:24h until:1h,"
    " id:BEGINNING parent:ID; other words are looked for in names, one with a colon stands in quotes."
)
_BATCH = 100


def act_on_matching(
    client: Client, action: str, text: str, *, yes: bool, preview: bool, reason: str, output: str
) -> None:
    """Count what matches, ask, and do it; exits with 3 when some were refused."""
    query = {"filter": text, "action": action}
    counted = _count(client, query)
    total = sum(counted["states"].values())
    at_least = "at least " if counted["capped"] else ""
    told = ", ".join(f"{n} {state}" for state, n in counted["states"].items() if n) or "none"
    words = f"{at_least}{total} run{'s' if total != 1 else ''} ({told})"
    if preview or not total:
        if output == "json":
            print_json({"action": action, "matching": counted["states"], "preview": True})
        else:
            click.echo(
                f"Would {action} {words}." if total else "No run matches that this applies to."
            )
        return
    _ask(action, words, yes=yes)
    # Taken before anything is done: what is resumed or cancelled meanwhile must not change what was agreed to.
    ids = [run["id"] for run in client.pages("/runs", total, **query)]
    outcomes = [each for part in _parts(ids) for each in _act(client, action, part, reason)]
    _tell(action, outcomes, output)


def _count(client: Client, query: dict[str, str]) -> Json:
    try:
        counted: Json = client.get("/runs/counts", **query)
    except CommandError as refusal:
        if any(path == "filter" for path, _ in refusal.problems):
            raise CommandError(
                refusal.message,
                hint=refusal.hint,
                problems=refusal.problems,
                code=Exit.USAGE,
            ) from refusal
        raise
    if (counted.get("filter") or "") != query["filter"]:
        # One that does not know filters would have counted, and then cancelled, everything.
        raise CommandError(
            "The control plane is older than this command and does not read --filter.",
            hint="Name the runs by their ids, or upgrade the control plane.",
            code=Exit.REFUSED,
        )
    return counted


def _ask(action: str, words: str, *, yes: bool) -> None:
    if yes:
        return
    if not (is_terminal() and sys.stdin.isatty()):
        raise CommandError(
            f"This would {action} {words}.",
            hint="Add --yes to do it, or --preview to see only the number.",
            code=Exit.USAGE,
        )
    click.confirm(f"{action.capitalize()} {words}?", abort=True, err=True)


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), _BATCH):
        yield ids[first : first + _BATCH]


def _act(client: Client, action: str, ids: Sequence[str], reason: str) -> list[Json]:
    body = {"action": action, "runs": list(ids), "reason": reason}
    outcomes: list[Json] = client.post("/runs/bulk", body)["outcomes"]
    return outcomes


def _tell(action: str, outcomes: Sequence[Json], output: str) -> None:
    refused = [each for each in outcomes if each["code"]]
    if output == "json":
        print_json(list(outcomes))
    else:
        for each in outcomes:
            if each["made"]:
                click.echo(f"{each['run']} goes on as {each['made']}")
        click.echo(f"{len(outcomes) - len(refused)} {_past(action)}, {len(refused)} refused.")
        for each in refused:
            click.echo(f"  {each['run']}: {printable(each['message'])}", err=True)
    if refused:
        sys.exit(Exit.REFUSED)


def _past(action: str) -> str:
    return {"cancel": "cancelled", "resume": "resumed"}[action]
