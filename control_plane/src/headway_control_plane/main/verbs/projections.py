"""`headway projections rebuild` and `headway projections verify`: views can be dropped, made anew and proved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click

from headway_control_plane.db.migrate import require_current
from headway_control_plane.db.pool import Database
from headway_control_plane.db.roles import Role
from headway_control_plane.log.reader import Reader
from headway_control_plane.main.stores import open_database
from headway_control_plane.main.verbs.options import problems_as_messages, setting
from headway_control_plane.projections.rebuild import RebuildFailed, rebuild
from headway_control_plane.projections.shadow import all_workspaces
from headway_control_plane.projections.task_timeline import TaskTimeline
from headway_control_plane.projections.verify import Proof, verify
from headway_control_plane.settings import Settings

_MODELS = {model.name: model for model in (TaskTimeline(),)}
_ROLES = (Role.PROJECTOR, Role.DISPATCHER)


def register(group: click.Group) -> None:
    group.add_command(projections_group)


@click.group("projections")
def projections_group() -> None:
    """Rebuild what pages show from the log, or prove that it is what the log says."""


@projections_group.command("rebuild")
@click.argument("projection", type=click.Choice(sorted(_MODELS)), default="task_timeline")
@setting("database_url")
def rebuild_command(projection: str, **options: Any) -> None:
    """Make PROJECTION anew beside the live one, compare, switch, drop the old rows. Servers may run meanwhile."""
    with problems_as_messages():
        asyncio.run(_rebuild(projection, _settings(options)))


async def _rebuild(projection: str, settings: Settings) -> None:
    async with _opened(settings) as (database, reader):
        try:
            done = await rebuild(database, reader, _MODELS[projection], progress=click.echo)
        except RebuildFailed as failed:
            raise click.ClickException(str(failed)) from failed
    differing = sum(bool(each.differences) for each in done.compared.values())
    click.echo(
        f"{projection}: version {done.after} took the place of {done.before}; {done.events:,} events folded, "
        f"{done.dropped_rows:,} old rows dropped, {differing} of {len(done.compared)} workspaces differed."
    )
    for ws, comparison in done.compared.items():
        for difference in comparison.differences:
            click.echo(f"  workspace {ws}: {difference}")


@projections_group.command("verify")
@click.argument("projection", type=click.Choice(sorted(_MODELS)), default="task_timeline")
@click.option("--workspace", "ws", type=int, help="Only this workspace (its number).")
@setting("database_url")
def verify_command(projection: str, ws: int | None, **options: Any) -> None:
    """Fold the log anew up to PROJECTION's checkpoint and compare every row. Ends with 1 when something differs."""
    with problems_as_messages():
        proofs = asyncio.run(_verify(projection, ws, _settings(options)))
    for proof in proofs:
        _tell(proof)
    if not all(proof.holds for proof in proofs):
        raise click.ClickException(
            f"What is shown differs from the log. Make it anew: headway projections rebuild {projection}"
        )


async def _verify(projection: str, ws: int | None, settings: Settings) -> list[Proof]:
    async with _opened(settings) as (database, reader):
        chosen = await all_workspaces(database) if ws is None else [ws]
        return [await verify(database, reader, _MODELS[projection], each) for each in chosen]


def _tell(proof: Proof) -> None:
    word = "holds" if proof.holds else "DIFFERS"
    unknown = f", {proof.unknown_events:,} events of unknown types" if proof.unknown_events else ""
    click.echo(
        f"workspace {proof.ws}: {word}, {proof.comparison.rows:,} rows proved from offset {proof.proved_from} "
        f"to {proof.checkpoint}{unknown}"
    )
    if proof.failure:
        click.echo(f"  it stands still there: {proof.failure}")
    for difference in proof.comparison.differences:
        click.echo(f"  {difference}")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Database, Reader]]:
    async with open_database(settings, _ROLES) as database:
        yield database, Reader(database, role=Role.PROJECTOR)


def _settings(options: dict[str, Any]) -> Settings:
    settings = Settings.read(**options)
    if not settings.database_url:
        raise click.ClickException(
            "No database is named.\nSet HEADWAY_DATABASE_URL or give --database-url "
            "(postgresql://user@host/name). With `headway up`, its server's URL stands in its home's profile."
        )
    require_current(settings.database_url)
    return settings
