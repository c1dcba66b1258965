"""Stay with a run until its end; the exit code tells how it went."""

import click

from headway.cli import run_text
from headway.cli.client import Client, Json
from headway.cli.exits import OF_STATE
from headway.cli.output import State, is_terminal, print_json, styled
from headway.cli.plain import watch_plain
from headway.cli.progress import Watch


def stay(client: Client, run: Json, output: str, *, watch: bool, timeout: float | None) -> int:
    """Wait for the run's end, showing progress if asked. Ctrl-C leaves the run alone."""
    if output == "text":
        click.echo(f"{run['name']} of {run['deployment']['name']}: {run['id']}", err=True)
    try:
        ended = (
            _watch(client, run, timeout)
            if watch and output == "text"
            else _wait(client, run, timeout)
        )
    except KeyboardInterrupt:
        click.echo("\nThe run goes on without you.", err=True)
        click.echo(f"  look again: headway runs watch {run['id']}", err=True)
        click.echo(f"  end it:     headway runs cancel {run['id']}", err=True)
        return 130
    if output == "json":
        print_json(ended)
    else:
        _conclude(ended)
    return int(OF_STATE[ended["state"]])


def _wait(client: Client, run: Json, timeout: float | None) -> Json:
    ended = run
    for snapshot in Watch(client, run, timeout=timeout, lines=False, calls=False):
        ended = snapshot.run
    return ended


def _watch(client: Client, run: Json, timeout: float | None) -> Json:
    snapshots = Watch(client, run, timeout=timeout, calls=is_terminal())
    if not is_terminal():
        return dict(watch_plain(snapshots, from_the_start=not run["tasks"]["total"]))
    from rich.console import Console  # noqa: PLC0415 - rich is paid for by those who watch on a terminal

    from headway.cli import live  # noqa: PLC0415

    return dict(live.watch_live(snapshots, Console()))


def _conclude(run: Json) -> None:
    for line in run_text.error_lines(run["error"]):
        click.echo(line)
    for line in run_text.result_lines(run):
        click.echo(line)
    verdict = run_text.verdict(run)
    if is_terminal():
        verdict = styled(State(run["state"])) + verdict.removeprefix(run["state"])
    click.echo(verdict)
    step = run_text.next_step(run)
    if step:
        click.echo(f"Next: {step}", err=True)
