"""One thing done to all runs that a filter finds: counted first, asked about, done in bounded batches."""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import click

from headway.cli.client import Client, Json
from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.moments import instant
from headway.cli.output import is_terminal, print_json
from headway.cli.text import STYLES, printable

FILTER_HELP = (
    "All runs that match, instead of IDs: flow:NAME deployment:NAME tag:NAME state:STATE since:24h until:1h,"
    " other words are looked for in names; one with a colon stands in quotes."
)
_STATES = {
    "cancel": ("scheduled", "pending", "running", "paused"),
    "resume": ("failed", "crashed", "cancelled"),
}
_MANY = {"tag", "state"}
_KEYS = {"flow", "deployment", "since", "until", *_MANY}
_BATCH = 100
_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'\\])+""", re.DOTALL)


def read_filter(text: str, action: str) -> dict[str, Any]:
    """Read `flow:nightly state:failed since:24h words`, as the box of the runs page takes it."""
    query: dict[str, Any] = {"tag": [], "state": []}
    rest = []
    for word, is_quoted in _words(text):
        key, colon, value = word.partition(":")
        if is_quoted or not colon:
            rest.append(word)
        elif key == "text":
            rest.append(value)
        elif key not in _KEYS:
            raise click.BadParameter(_unknown(word, key))
        elif not value:
            raise click.BadParameter(f"{word!r} names nothing: write {key}:VALUE")
        elif key in _MANY:
            query[key].append(value)
        else:
            query[key] = instant(value) if key in {"since", "until"} else value
    for state in query["state"]:
        if state not in STYLES:
            near = _near(state, _STATES[action])
            raise click.BadParameter(
                f"{state} is no state.{near} state: takes {', '.join(_STATES[action])}"
            )
    useless = sorted(set(query["state"]) - set(_STATES[action]))
    if useless:
        raise click.BadParameter(
            f"runs that are {', '.join(useless)} cannot be {_past(action)}; state: takes {', '.join(_STATES[action])}"
        )
    query["state"] = query["state"] or list(_STATES[action])
    return query | {"q": " ".join(rest) or None}


def _words(text: str) -> list[tuple[str, bool]]:
    """Words as a shell reads them, and whether each began with a quotation mark."""
    try:
        words = shlex.split(text)
        return [(word, raw[:1] in "'\"") for word, raw in zip(words, _raw(text), strict=True)]
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from None


def _raw(text: str) -> list[str]:
    return [found[0] for found in _WORD.finditer(text)]


def _unknown(word: str, key: str) -> str:
    """A misspelt key must not become a text that changes which runs are meant."""
    keys = ", ".join(f"{each}:" for each in sorted(_KEYS))
    meant = _near(key, _KEYS, ":")
    return f"{key}: is no filter.{meant} There are {keys}; a name with a colon stands in quotes: '\"{word}\"'"


def _near(word: str, known: Iterable[str], mark: str = "") -> str:
    near = get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]}{mark}?" if near else ""


def act_on_matching(
    client: Client, action: str, text: str, *, yes: bool, preview: bool, reason: str, output: str
) -> None:
    """Count what matches, ask, and do it; exits with 3 when some were refused."""
    query = read_filter(text, action)
    counted = client.get("/runs/counts", **{**query, "state": query["state"]})
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
