"""Stay with a run until its end; the exit code tells how it went."""

import click

from headway.cli import run_text
from headway.cli.client import Client, Json
from headway.cli.exits import OF_STATE
from headway.cli.output import is_terminal, print_json
from headway.cli.progress import Watch


def stay(client: Client, run: Json, output: str, *, watch: bool, timeout: float | None) -> int:
    """Wait for the run's end, showing progress if asked. Ctrl-C leaves the run alone."""
    try:
        ended = (
            _watch(client, run, timeout)
            if watch and output == "text"
            else _wait(client, run, timeout)
        )
    except KeyboardInterrupt:
        click.echo(f"\nThe run goes on. Look again: headway runs watch {run['id']}", err=True)
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
    from headway.cli import live  # noqa: PLC0415 - rich is paid for by those who watch

    snapshots = Watch(client, run, timeout=timeout, calls=is_terminal())
    if is_terminal():
        from rich.console import Console  # noqa: PLC0415

        return dict(live.watch_live(snapshots, Console()))
    return dict(live.watch_plain(snapshots))


def _conclude(run: Json) -> None:
    from headway.cli import live  # noqa: PLC0415

    for line in run_text.error_lines(run["error"]):
        click.echo(line)
    click.echo(live.verdict_line(run) if is_terminal() else run_text.verdict(run))
    step = run_text.next_step(run)
    if step:
        click.echo(f"Next: {step}", err=True)
