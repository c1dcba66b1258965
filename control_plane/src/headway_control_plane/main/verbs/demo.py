"""`headway demo`."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from headway_control_plane.main.ports import avoiding_taken_ports
from headway_control_plane.main.verbs.options import (
    address_options,
    home_option,
    log_to_home,
    problems_as_messages,
    setting,
)
from headway_control_plane.settings import Settings


def register(group: click.Group) -> None:
    group.add_command(demo_command)


@click.command("demo", short_help="Run the example and check its log.")
@home_option
@address_options
@setting("postgres_bin", click.Path(file_okay=False, path_type=Path))
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    default="report",
    show_default=True,
    help="Folder for the example's report.",
)
@click.option("--keep", is_flag=True, help="Leave everything serving afterwards, until Ctrl-C.")
def demo_command(*, keep: bool, report: Path, home: Path | None, **options: Any) -> None:
    """Start everything in a folder of its own, run the example flow, and check what the log says of it.

    The example takes stock of the Python environment that Headway runs in. Ends with 0 only when every check held.
    """
    import asyncio  # noqa: PLC0415  # slow; see verbs/__init__.py

    from headway_control_plane.main.demo import EXAMPLES, Stage, demo  # noqa: PLC0415  # slow; see verbs/__init__.py
    from headway_control_plane.main.stores import local_access  # noqa: PLC0415  # slow; see verbs/__init__.py
    from headway_control_plane.main.up import install  # noqa: PLC0415  # slow; see verbs/__init__.py

    with problems_as_messages(), ExitStack() as stack:
        if home is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headway-demo-")))
        settings = avoiding_taken_ports(Settings.read(home=home, **options))
        installation = install(settings, EXAMPLES, local_access)
        stack.enter_context(log_to_home(settings, "demo"))
        stage = Stage(installation, report.absolute(), click.echo, keep)
        sys.exit(asyncio.run(demo(stage)))
