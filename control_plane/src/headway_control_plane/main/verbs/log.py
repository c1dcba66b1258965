"""`headway log verify` and `headway log new-epoch`."""

import json
from typing import Any

import click

from headway_control_plane.main.verbs.options import home_option, problems_as_messages, setting


def register(group: click.Group) -> None:
    group.add_command(log_group)


@click.group("log")
def log_group() -> None:
    """Prove that the log is what was written."""


@log_group.command("verify", short_help="Recompute the hash chain.")
@click.option("--workspace", help="Only the workspace of this name.")
@click.option(
    "--witness",
    metavar="EPOCH:OFFSET:HASH",
    help="A place that somebody outside remembers: agents keep the last one they were told (`headway agent doctor`).",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="For people or for scripts.",
)
@setting("database_url")
@home_option
def verify_command(workspace: str | None, witness: str | None, output: str, **options: Any) -> None:
    """Recompute the hash chain from the first event to the last and name the first offset that is not as it was written.

    Ends with 1 when something is wrong.
    """
    import asyncio  # noqa: PLC0415  # slow; see verbs/__init__.py

    from headway_control_plane.main.proofs import verify_logs  # noqa: PLC0415  # slow; see verbs/__init__.py
    from headway_control_plane.main.verbs.database import settings_with_database  # noqa: PLC0415  # slow

    with problems_as_messages():
        proofs = asyncio.run(verify_logs(settings_with_database(options), workspace, witness))
    if output == "json":
        click.echo(json.dumps([proof.as_json() for proof in proofs], indent=1))
    else:
        for proof in proofs:
            click.echo(str(proof))
    if not proofs:
        raise click.ClickException(
            f"There is no workspace {workspace!r}." if workspace else "There is no workspace yet."
        )
    if not all(proof.verified.ok for proof in proofs):
        raise click.exceptions.Exit(1)


@log_group.command("new-epoch", short_help="After a failover or restore that lost events.")
@setting("database_url")
@home_option
def new_epoch_command(**options: Any) -> None:
    """Begin a new epoch of every log, after a database was promoted or restored that lacks its newest events.

    Stop all control planes, promote or restore, run this once against the new database, start them again. Whoever reads the log from an old
    cursor is then told to begin anew, and agents send again what the log lost and they still keep. Once too often does no harm.
    """
    import asyncio  # noqa: PLC0415  # slow; see verbs/__init__.py

    from headway_control_plane.main.epochs import begin  # noqa: PLC0415  # slow; see verbs/__init__.py
    from headway_control_plane.main.verbs.database import settings_with_database  # noqa: PLC0415  # slow

    with problems_as_messages():
        begun = asyncio.run(begin(settings_with_database(options)))
    for name, cursor in begun:
        click.echo(f"{name}: epoch {cursor.epoch} begins behind offset {cursor.offset}.")
    if not begun:
        raise click.ClickException("There is no workspace yet.")
