"""`headway doctor`."""

from typing import Any

import click

from headway_control_plane.main.verbs.options import home_option, problems_as_messages, setting


def register(group: click.Group) -> None:
    group.add_command(doctor_command)


@click.command("doctor", short_help="Say what is wrong, and what to do.")
@click.option(
    "--deep",
    is_flag=True,
    help="Also read every event and check every invariant: takes long on a large log.",
)
@setting("database_url")
@home_option
def doctor_command(*, deep: bool, **options: Any) -> None:
    """Look for what is wrong with this control plane and say what to do. Ends with 1 when something is."""
    import asyncio  # noqa: PLC0415  # slow; see verbs/__init__.py

    from headway_control_plane.main.checkup import checkup  # noqa: PLC0415  # slow; see verbs/__init__.py
    from headway_control_plane.main.verbs.database import settings_with_database  # noqa: PLC0415  # slow

    with problems_as_messages():
        findings = asyncio.run(checkup(settings_with_database(options), deep=deep))
    for finding in findings:
        click.echo(f"{'ok ' if finding.ok else 'NOT'} {finding.words}")
        for detail in finding.details:
            click.echo(f"      {detail}")
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)
