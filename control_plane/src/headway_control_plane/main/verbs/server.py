"""`headway server start` and `headway server migrate`."""

from typing import Any

import click

from headway_control_plane.main.verbs.options import address_options, problems_as_messages, setting
from headway_control_plane.settings import Settings


def register(group: click.Group) -> None:
    group.add_command(server_group)


@click.group("server")
def server_group() -> None:
    """Run the control plane itself."""


@server_group.command("start", short_help="Serve API, UI and agents.")
@setting("database_url")
@address_options
@click.option("--lifeline-fd", type=int, hidden=True, help="Drain when this descriptor ends.")
@click.option("--ready-fd", type=int, hidden=True, help="Write a line here when ready.")
def start(lifeline_fd: int | None, ready_fd: int | None, **options: Any) -> None:
    """Serve the REST API, the UI and the agents until told to stop (TERM or Ctrl-C)."""
    from headway_control_plane.main.serve import serve  # noqa: PLC0415  # slow; see verbs/__init__.py

    with problems_as_messages():
        settings = _with_database(Settings.read(**options))
        serve(settings, lifeline=lifeline_fd, ready=ready_fd)


@server_group.command("migrate")
@setting("database_url")
def migrate_command(**options: Any) -> None:
    """Bring the database to the schema of this version. Forward only; safe to run twice or twice at once."""
    from headway_control_plane.db.migrate import migrate  # noqa: PLC0415  # slow; see verbs/__init__.py

    with problems_as_messages():
        done = migrate(_with_database(Settings.read(**options)).migration_url)
    if done.changed:
        click.echo(f"Migrated from {done.before or 'an empty database'} to {done.after}.")
    else:
        click.echo(f"The database is at {done.after} already; nothing to do.")


def _with_database(settings: Settings) -> Settings:
    if settings.database_url:
        return settings
    raise click.ClickException(
        "No database is named.\nSet HEADWAY_DATABASE_URL or give --database-url "
        "(postgresql://user@host/name), or run everything on this machine with: headway up"
    )
