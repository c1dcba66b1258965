"""`headway projections rebuild` and `headway projections verify`: views can be dropped, made anew and proved."""

from typing import Any

import click

from headway_control_plane.main.verbs.options import home_option, problems_as_messages, setting

_NAMES = ("task_timeline",)


def register(group: click.Group) -> None:
    group.add_command(projections_group)


@click.group("projections", short_help="Rebuild or prove what pages show.")
def projections_group() -> None:
    """Rebuild what pages show from the log, or prove that it is what the log says."""


@projections_group.command("rebuild", short_help="Make a view anew from the log, and switch.")
@click.argument("projection", type=click.Choice(_NAMES), default=_NAMES[0])
@setting("database_url")
@home_option
def rebuild_command(projection: str, **options: Any) -> None:
    """Make PROJECTION anew beside the live one, compare, switch, drop the old rows. Servers may run meanwhile."""
    import asyncio  # noqa: PLC0415  # slow; see verbs/__init__.py

    from headway_control_plane.main.projecting import rebuild_one  # noqa: PLC0415  # slow; see verbs/__init__.py
    from headway_control_plane.main.verbs.database import settings_with_database  # noqa: PLC0415  # slow

    with problems_as_messages():
        for line in asyncio.run(
            rebuild_one(projection, settings_with_database(options), progress=click.echo)
        ):
            click.echo(line)


@projections_group.command("verify", short_help="Compare a view with the log, row by row.")
@click.argument("projection", type=click.Choice(_NAMES), default=_NAMES[0])
@click.option("--workspace", "ws", type=int, help="Only this workspace (its number).")
@setting("database_url")
@home_option
def verify_command(projection: str, ws: int | None, **options: Any) -> None:
    """Fold the log anew up to PROJECTION's checkpoint and compare every row. Ends with 1 when something differs."""
    import asyncio  # noqa: PLC0415  # slow; see verbs/__init__.py

    from headway_control_plane.main.projecting import told, verify_all  # noqa: PLC0415  # slow; see verbs/__init__.py
    from headway_control_plane.main.verbs.database import settings_with_database  # noqa: PLC0415  # slow

    with problems_as_messages():
        proofs = asyncio.run(verify_all(projection, ws, settings_with_database(options)))
    for proof in proofs:
        for line in told(proof):
            click.echo(line)
    if not all(proof.holds for proof in proofs):
        raise click.ClickException(
            f"What is shown differs from the log. Make it anew: headway projections rebuild {projection}"
        )
