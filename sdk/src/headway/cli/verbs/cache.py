"""`headway cache ...`."""

from pathlib import Path
from typing import Any

import click

from headway.cli import caching, shared_caching, text
from headway.cli.caching import open_store
from headway.cli.environments import project_of
from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.introspection import choose_python
from headway.cli.output import json_option, print_json, print_table
from headway.cli.settings import environments_path
from headway.cli.verbs.run import parse_parameter
from headway.clock import now_us
from headway.runtime.cache_store import CacheStore, Entry

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_state_option = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: environments_path().parent,
    help="Of the agent; the one of this machine's agent if left out.",
)

_shared_option = click.option(
    "--shared",
    is_flag=True,
    help="What all agents with this store share, by way of this machine's agent.",
)


@click.group()
def cache() -> None:
    """Look into and clear the results that tasks with `cache=` share, on this machine."""


@cache.command("ls")
@click.option("--task", help="Of tasks of this name alone.")
@_shared_option
@_state_option
@json_option
def list_entries(task: str | None, state_dir: Path, output: str, *, shared: bool) -> None:
    """List cached results, newest first."""
    found = _shared_rows(state_dir, task) if shared else _rows(state_dir, task)
    found.sort(key=lambda row: row[0].made_at_us, reverse=True)
    if output == "json":
        print_json([{**entry._asdict(), "size": size} for entry, size in found])
        return
    now = now_us()
    print_table(
        ("key", "task", "age", "bytes", "run", "stands by"),
        [
            (
                entry.key[:12],
                text.printable(entry.name),
                text.duration(max(0, now - entry.made_at_us)),
                str(size),
                text.printable(entry.run[:8]),
                " ".join(sorted(entry.parts.keys() - {"task"})),
            )
            for entry, size in found
        ],
        empty="Nothing is cached. A task shares its results once it says how: @task(cache=INPUTS)",
    )


def _rows(state: Path, task: str | None) -> list[tuple[Entry, int]]:
    store = open_store(state)
    return [
        (entry, store.size_of(entry))
        for entry in store.entries()
        if task in (None, entry.name, entry.task)
    ]


def _shared_rows(state: Path, task: str | None) -> list[tuple[Entry, int]]:
    told = shared_caching.ask(state, {"type": "cache.list", "task": task})["entries"]
    rows = [Entry(**{name: each[name] for name in Entry._fields}) for each in told]
    return [(entry, int(entry.result["size"])) for entry in rows]


@cache.command()
@click.argument("what", metavar="RUN|MODULE:TASK")
@click.argument("call", required=False, default="")
@click.option("-a", "--arg", "arguments", multiple=True, metavar="NAME=VALUE", help="Of the task.")
@click.option(
    "-p", "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="Of the run."
)
@click.option("--root", type=_DIRECTORY, default=Path(), help="Directory to import from.")
@click.option("--python", type=click.Path(exists=True, path_type=Path), help="The interpreter.")
@click.option(
    "--environment",
    default="default",
    show_default=True,
    help="The deployment's: results are its own.",
)
@_state_option
@json_option
def explain(what: str, call: str, output: str, **options: Any) -> None:
    """Say why calls were taken from the cache or not.

    RUN: of each call of the run that asked the cache, or of those alone whose key begins with CALL or whose task is called so.
    MODULE:TASK with its arguments: what would become of this call now. Values are read as JSON, else as text.
    """
    if ":" in what:
        _explain_task(what, output, **options)
    else:
        _explain_run(what, call, output, options["state_dir"])


def _explain_task(
    task: str,
    output: str,
    arguments: tuple[str, ...],
    parameters: tuple[str, ...],
    root: Path,
    python: Path | None,
    environment: str,
    state_dir: Path,
) -> None:
    root = root.resolve()
    store = open_store(state_dir)
    given = dict(map(parse_parameter, arguments))
    of_run = dict(map(parse_parameter, parameters))
    interpreter = choose_python(python, root)
    whose = {
        "environment": environment,
        "project": project_of(environments_path(), environment),
    }
    others = ""
    if shared_caching.is_shared(state_dir):
        try:
            whose["pool"] = shared_caching.pool(state_dir)
        except CommandError as error:
            # What this machine keeps can be told all the same.
            others = f"not known: {error}"
    told = caching.ask_for_key(interpreter, task, root, given, of_run, whose)
    said = caching.verdict(store, told)
    if "pool" in whose:
        others = shared_caching.verdict(state_dir, {"task": task, **told})
    if output == "json":
        print_json({**told, "verdict": said, **({"shared_verdict": others} if others else {})})
        return
    click.echo(said)
    if others:
        click.echo(f"shared by agents: {others}")
    click.echo(f"key {told['key']}")
    for name, digest in sorted(told["parts"].items()):
        click.echo(f"  {name}  {digest[:16]}")


def _explain_run(run: str, call: str, output: str, state_dir: Path) -> None:
    store = open_store(state_dir)
    found = [
        frame
        for frame in caching.calls_of(state_dir, run)
        if frame["name"] == call or frame["call"].startswith(call)
    ]
    if output == "json":
        print_json(
            [{name: f[name] for name in ("call", "name", "outcome", "cache")} for f in found]
        )
        return
    if not found:
        click.echo("No such call of this run asked the cache.", err=True)
    kept = list(store.entries())
    for frame in found:
        told, is_hit = frame["cache"], frame.get("cause") == "cached"
        others = [entry for entry in kept if entry.run != run and entry.key != told["key"]]
        near = "" if is_hit or not told["key"] else caching.nearest(others, told["parts"])
        words = f"{'hit' if is_hit else 'miss'}: {told['reason']}{near}"
        click.echo(f"{frame['call'][:12]}  {text.printable(frame['name'])}  {words}")


@cache.command()
@click.option("--task", help="What tasks of this name made.")
@click.option("--key", help="What is under keys that begin so (at least 8 digits).")
@click.option("--all", "everything", is_flag=True, help="Everything, also what cannot be read.")
@_shared_option
@_state_option
@json_option
def clear(
    task: str | None,
    key: str | None,
    everything: bool,
    state_dir: Path,
    output: str,
    *,
    shared: bool,
) -> None:
    """Delete cached results; the next calls execute. Journals are not touched: runs still skip what they completed."""
    if sum([task is not None, key is not None, everything]) != 1:
        raise CommandError(
            "Say what to clear.", hint="One of --task NAME, --key KEY, --all", code=Exit.USAGE
        )
    if key is not None and len(key) < 8:
        raise CommandError(
            "That is too little of a key.", hint="See headway cache ls", code=Exit.USAGE
        )
    if shared:
        question = {"type": "cache.clear", "task": task, "key": key, "all": everything}
        count = int(shared_caching.ask(state_dir, question)["deleted"])
    else:
        count = _cleared(open_store(state_dir), task, key, everything=everything)
    if output == "json":
        print_json({"deleted": count})
    else:
        click.echo(f"Deleted {count} cached {'result' if count == 1 else 'results'}.")
    if not shared and shared_caching.is_shared(state_dir):
        click.echo(
            "What agents share is still there, and calls take it from there: see --shared.",
            err=True,
        )


def _cleared(store: CacheStore, task: str | None, key: str | None, *, everything: bool) -> int:
    if everything:
        return store.clear()
    chosen = [
        entry
        for entry in store.entries()
        if task in (entry.name, entry.task) or (key is not None and entry.key.startswith(key))
    ]
    for entry in chosen:
        store.delete(entry.key)
    return len(chosen)
