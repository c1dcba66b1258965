"""`headway runs resume | retry | rerun | plan`: runs made from runs, each with a preview of what will execute."""

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from headway.cli import run_text
from headway.cli.client import Client, Json
from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.output import is_terminal, json_option, print_json
from headway.cli.text import columns, printable
from headway.cli.verbs.bulk import FILTER_HELP, act_on_matching
from headway.cli.verbs.run import parse_parameter
from headway.cli.waiting import stay

F = TypeVar("F", bound=Callable[..., Any])
SHOWN = 20
SHOWN_OF_PLAN = 100
_LISTED, _MOST = 1_000, 100_000
_KEY = re.compile("[0-9a-f]{32}")


def _options(function: F) -> F:
    """What the three verbs have in common."""
    for option in (
        json_option,
        click.option("--timeout", type=click.FloatRange(min=0), help="Most seconds to wait."),
        click.option(
            "--wait",
            is_flag=True,
            help="Wait for the new run's end; the exit code tells how it went.",
        ),
        click.option(
            "--watch", is_flag=True, help="Show the new run's progress and wait for its end."
        ),
        click.option("--preview", is_flag=True, help="Show what would execute, and stop there."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option(
            "-p",
            "--param",
            "params",
            multiple=True,
            metavar="NAME=VALUE",
            help="Another value for a parameter; steps that it reaches execute. Repeatable.",
        ),
    ):
        function = option(function)
    return function


@click.command(short_help="Let a run that waits or has ended go on.")
@click.argument("run_id", metavar="ID", required=False)
@click.option("--filter", "matching", help=FILTER_HELP)
@_options
def resume(run_id: str | None, matching: str | None, **options: Any) -> None:
    """Let a run go on: one that waits for a person, or one that has ended; or, with --filter, many that failed.

    Of a run that has ended a new one is made that executes only what has no result yet; the ended run stays as it is.
    """
    if (run_id is None) == (matching is None):
        raise click.UsageError("Name a run by its id, or all that match with --filter.")
    client = Client.of_profile()
    if matching is not None:
        _resume_matching(client, matching, options)
        return
    assert run_id is not None
    found = client.find_run(run_id)
    run = client.get(f"/runs/{found}")
    if run["state"] == "paused" or run["reason"] == "input":
        _go_on(client, run, options["output"])
        return
    _fork(client, found, "resume", "", options)


def _resume_matching(client: Client, matching: str, options: dict[str, Any]) -> None:
    if options["params"] or options["watch"] or options["wait"]:
        raise click.UsageError(
            "--filter takes no -p, --watch or --wait: resume such a run by its id."
        )
    act_on_matching(
        client,
        "resume",
        matching,
        yes=options["yes"],
        preview=options["preview"],
        reason="",
        output=options["output"],
    )


@click.command()
@click.argument("run_id", metavar="ID")
@click.argument("step")
@_options
def retry(run_id: str, step: str, **options: Any) -> None:
    """Execute one STEP of an ended run again, with what depends on it.

    STEP is the name of a task that the run called once, or the beginning of a call's key (see `headway runs plan`).
    """
    client = Client.of_profile()
    found = client.find_run(run_id)
    _fork(client, found, "retry", _call(client, found, step), options)


@click.command(short_help="Execute an ended run again from STEP on.")
@click.argument("run_id", metavar="ID")
@click.argument("step")
@_options
def rerun(run_id: str, step: str, **options: Any) -> None:
    """Execute an ended run again from STEP on: it, and every step that began when it began or later."""
    client = Client.of_profile()
    found = client.find_run(run_id)
    _fork(client, found, "rerun", _call(client, found, step), options)


@click.command(short_help="List what `resume` would execute and keep.")
@click.argument("run_id", metavar="ID")
@click.option("--all", "is_all", is_flag=True, help="Each kept step on a line of its own, too.")
@json_option
def plan(run_id: str, is_all: bool, output: str) -> None:
    """List a run's steps, with their keys and what `resume` would do with them.

    What is kept is summed up by name, `load x 1,000`; --all lists each with its key.
    """
    client = Client.of_profile()
    run = client.find_run(run_id)
    most = _MOST if is_all else _LISTED
    found = client.get(f"/runs/{run}/plan", verb="resume", limit=most)
    if output == "json":
        print_json(found)
        return
    for line in _lines(found, keys=True, most=most if is_all else SHOWN_OF_PLAN, single=is_all):
        click.echo(line)
    if not is_all and _leaves_out(found, SHOWN_OF_PLAN):
        click.echo(f"Each with its key: headway runs plan {run} --all", err=True)


def _fork(client: Client, run: str, verb: str, call: str, options: dict[str, Any]) -> None:
    output = options["output"]
    planned = client.get(f"/runs/{run}/plan", verb=verb, call=call)
    if options["preview"]:
        _show(planned, output)
        return
    if is_terminal() and output != "json":
        _show(planned, output)
        if not options["yes"] and not click.confirm("Start it?", default=True):
            return
    body = {"verb": verb, "call": call, "parameters": dict(map(parse_parameter, options["params"]))}
    made = client.post(f"/runs/{run}/fork", body)
    if options["watch"] or options["wait"]:
        sys.exit(stay(client, made, output, watch=options["watch"], timeout=options["timeout"]))
    if output == "json":
        print_json(made)
    else:
        click.echo(made["id"])


def _go_on(client: Client, run: Json, output: str) -> None:
    """A wait that needs nothing but somebody's word; one that needs more is answered by `input`."""
    asked = [w for w in run["waits"] if w["kind"] == "input" and not w["answered"]]
    if run["reason"] in {"lost", "died"}:
        changed = client.post(f"/runs/{run['id']}/release")
    elif len(asked) == 1 and not asked[0]["schema"]:
        changed = client.post(f"/runs/{run['id']}/input", {"call": asked[0]["call"], "value": None})
    else:
        needs = run_text.question(asked[0]) if asked else run["reason_text"]
        raise CommandError(
            f"The run is not let go on by a word alone: {needs}",
            hint=f"headway runs input {run['id']}" if asked else "",
            code=Exit.REFUSED,
        )
    if output == "json":
        print_json(changed)
    else:
        click.echo(changed["id"])


def _call(client: Client, run: str, step: str) -> str:
    """The key of the call that a person means. A whole key needs no list: that has the first calls of a run alone."""
    if _KEY.fullmatch(step):
        return step
    planned = client.get(f"/runs/{run}/plan", verb="resume", limit=1000)
    parts = [planned[part] for part in ("executes", "attaches", "keeps") if part in planned]
    calls = [call for part in parts for call in part["calls"]]
    found = [call for call in calls if call["name"] == step] or [
        call for call in calls if len(step) >= 6 and call["call"].startswith(step)
    ]
    if len(found) == 1:
        return str(found[0]["call"])
    hint = f"List the steps with their keys: headway runs plan {run}"
    if not found:
        raise CommandError(f"The run has no step {step!r}.", hint=hint, code=Exit.USAGE)
    raise CommandError(
        f"{len(found)} calls of the run are meant by {step!r}.",
        problems=[
            (call["call"][:12], f"{call['name']}, {call['status']}") for call in found[:SHOWN]
        ],
        hint="Name one by the beginning of its key.",
        code=Exit.USAGE,
    )


def _show(planned: Json, output: str) -> None:
    if output == "json":
        print_json(planned)
        return
    for line in _lines(planned, keys=False, most=SHOWN, single=False):
        click.echo(line)


_HEADS = (
    ("executes", "will execute", "will execute"),
    (
        "attaches",
        "takes the run that it asked for, and starts none",
        "take the run that they asked for, and start none",
    ),
    (
        "may",
        "executes again only if it is given other values than before",
        "execute again only if they are given other values than before",
    ),
    ("keeps", "is kept and not executed", "are kept and not executed"),
)


_SINGLE = ("executes", "attaches")


def _lines(planned: Json, *, keys: bool, most: int, single: bool) -> Iterable[str]:
    """What will execute line by line, the rest by name; `single`: that line by line, too."""
    for part, of_one, of_many in _HEADS:
        calls = planned.get(part)  # a control plane from before knows fewer
        if not calls or not calls["total"]:
            continue
        yield f"{calls['total']:,} {of_one if calls['total'] == 1 else of_many}:"
        one_by_one = single or part in _SINGLE
        rows, left = _single(calls, most) if one_by_one else _summed(calls, most)
        for row in columns([each if keys else each[1:] for each in rows]):
            yield f"  {row}"
        if left:
            yield f"  ... and {left:,} more"
    if not any(planned[part]["total"] for part, *_ in _HEADS if part in planned):
        yield "The run called nothing: all of it will execute."


def _single(calls: Json, most: int) -> tuple[list[list[str]], int]:
    """Key, name and state of each, and how many there are beyond."""
    shown = calls["calls"][:most]
    told = [printable(call.get("note") or call["status"]) for call in shown]
    rows = [[call["call"][:12], _named(call), say] for call, say in zip(shown, told, strict=True)]
    return rows, calls["total"] - len(shown)


def _summed(calls: Json, most: int) -> tuple[list[list[str]], int]:
    """The same by name and state; one that is alone keeps its key."""
    if "groups" not in calls:  # an older control plane
        return _single(calls, most)
    groups = calls["groups"][:most]
    rows = [
        [group["call"][:12], _named(group), group["status"]]
        if group["total"] == 1
        else ["", f"{_named(group)} x {group['total']:,}", group["status"]]
        for group in groups
    ]
    return rows, calls["total"] - sum(group["total"] for group in groups)


def _leaves_out(planned: Json, most: int) -> bool:
    """Whether `_lines` lists fewer than there are."""
    known = [(name, planned[name]) for name, *_ in _HEADS if name in planned]
    parts = [part for _, part in known]
    lists = [
        part["calls"] if name in _SINGLE else part.get("groups", part["calls"])
        for name, part in known
    ]
    return any(
        part["total"] > min(len(listed), most) for part, listed in zip(parts, lists, strict=True)
    )


def _named(call: Json) -> str:
    return printable(call["name"]) or "(name withheld)"
