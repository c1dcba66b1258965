"""Which database a verb reads: the one that is named, or the one that `headway up` runs for this home."""

from dataclasses import replace
from typing import Any

import click

from headway_control_plane.settings import Settings


def settings_with_database(options: dict[str, Any]) -> Settings:
    """Return the settings with a database whose schema is this version's; say what to do when there is none."""
    from headway_control_plane.db.embedded.locate import running_database  # noqa: PLC0415  # slow; see verbs/__init__.py
    from headway_control_plane.db.migrate import require_current  # noqa: PLC0415  # slow; see verbs/__init__.py

    settings = Settings.read(**options)
    url = settings.database_url or running_database(settings.home)
    if not url:
        raise click.ClickException(
            f"No database is named, and none runs in {settings.home}.\n"
            "Start one: headway up; or name one: --database-url postgresql://user@host/name"
        )
    require_current(url)
    return replace(settings, database_url=url)
