"""`headway up`."""

import sys
from pathlib import Path
from typing import Any

import click

from headway_control_plane.main.verbs.options import (
    address_options,
    home_option,
    log_to_home,
    problems_as_messages,
    setting,
)
from headway_control_plane.settings import Settings


def register(group: click.Group) -> None:
    group.add_command(up_command)


@click.command("up", short_help="Run everything on this machine until Ctrl-C.")
@home_option
@address_options
@setting("database_url")
@setting("postgres_bin", click.Path(file_okay=False, path_type=Path))
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="Folder whose flows the agent may run; the current one unless named.",
)
def up_command(root: Path, **options: Any) -> None:
    """Run Headway on this machine: database, control plane and an agent for the current folder."""
    import asyncio  # noqa: PLC0415  # slow; see verbs/__init__.py

    from headway_control_plane.main.stores import local_access  # noqa: PLC0415  # slow; see verbs/__init__.py
    from headway_control_plane.main.up import install, up  # noqa: PLC0415  # slow; see verbs/__init__.py

    with problems_as_messages():
        settings = Settings.read(**options)
        installation = install(settings, root.resolve(), local_access)
        click.echo(f"Starting in {settings.home}")
        with log_to_home(settings, "up"):
            sys.exit(asyncio.run(up(installation, say=click.echo)))
